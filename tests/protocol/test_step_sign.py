"""POST /sign, /provisioners and the encrypted key through the front door (step-compat.md part 4; security.md T, P)."""

from __future__ import annotations

import asyncio
import hashlib
import json
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from acme_peer import BASE
from dayfly.authority.limits import Limits
from dayfly.core.frozen import replace
from dayfly.core.jose.encoding import b64u_encode
from dayfly.core.policy.rules import Rule, RuleKind
from dayfly.core.settings.claims import Claims
from dayfly.core.settings.owners import Owner
from dayfly.core.settings.provisioners import Provisioner, ProvisionerType
from dayfly.server.app import Application
from dayfly.server.step_routes import StepRoutes
from factories import NAME, NOW, csr_der, ec_key
from step_peer import (
    KEY,
    OWNER,
    Play,
    StepClient,
    certificate_der,
    certificates,
    cn_of,
    csr_pem,
    leaf_of,
    make_step_peer,
    named_csr,
    names_of,
    provisioner_of,
    put,
    refused,
)
from unit.core.x509.test_csr import DEFECTS

OTHER = "b.internal.example"

# --- what is given ----------------------------------------------------------------------------------------------------


def test_a_good_token_and_csr_give_a_certificate__t1(play: Play) -> None:
    """201 with leaf, issuer, chain and TLS options; the names and the CN are the token's, the key is the CSR's."""

    async def scenario(client: StepClient) -> None:
        key = ec_key()
        reply = await client.sign(csr=csr_der(key=key))
        assert reply.status == 201, reply.body
        assert sorted(reply.json) == ["ca", "certChain", "crt", "tlsOptions"]
        assert reply.json["certChain"] == [reply.json["crt"], reply.json["ca"]]
        assert reply.json["tlsOptions"]["minVersion"] == 1.2
        leaf = leaf_of(reply)
        leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(reply.json["ca"].encode()))
        assert (names_of(leaf), cn_of(leaf)) == ({NAME}, NAME)
        assert leaf.public_key() == key.public_key()
        (row,) = await client.peer.store.certificates.certificates(after=0, limit=9)
        assert (row.serial, row.provisioner, row.owner, row.account_id) == (leaf.serial_number, OWNER, OWNER, None)

    play(scenario)


@pytest.mark.parametrize("prefix", ["", "/1.0"])
def test_both_mounts_and_both_audiences__step_1(play: Play, prefix: str) -> None:
    """The unversioned path with the versioned audience, as stock clients do it, and every other pairing."""

    async def scenario(client: StepClient) -> None:
        for audience in (f"{BASE}/1.0/sign", f"{BASE}/sign", "https://10.0.0.1:9000/1.0/sign"):
            body = json.dumps({"csr": csr_pem(csr_der()), "ott": client.token(aud=audience)}).encode()
            assert (await client.peer.send("POST", f"{prefix}/sign", body)).status == 201

    play(scenario)


def test_the_provisioner_stands_in_the_certificate__step_9(play: Play) -> None:
    """Type 1, name and kid; and not at all where the claim switches it off."""

    async def scenario(client: StepClient) -> None:
        oid = x509.ObjectIdentifier("1.3.6.1.4.1.37476.9000.64.1")
        value = leaf_of(await client.sign()).extensions.get_extension_for_oid(oid).value
        assert isinstance(value, x509.UnrecognizedExtension)
        assert value.value[:5] == b"\x30" + bytes([len(value.value) - 2]) + b"\x02\x01\x01"
        assert OWNER.encode() in value.value
        assert client.kid.encode() in value.value
        await put(client.peer, provisioner_of(KEY, claims=Claims(disable_smallstep_extensions=True)))
        leaf = leaf_of(await client.sign())
        assert oid not in {one.oid for one in leaf.extensions}

    play(scenario)


def test_names_come_from_the_token__t14_t15(play: Play) -> None:
    """Without sans the subject; a CSR without names takes the token's; a subject beside the sans becomes the CN."""

    async def scenario(client: StepClient) -> None:
        only = leaf_of(await client.sign(client.token(sans=...)))
        assert (names_of(only), cn_of(only)) == ({NAME}, NAME)
        nameless = leaf_of(await client.sign(client.token(sans=[NAME, "10.0.0.7"]), named_csr()))
        assert names_of(nameless) == {NAME, "10.0.0.7"}
        beside = leaf_of(
            await client.sign(client.token(sans=[OTHER]), named_csr(x509.DNSName(OTHER), common_name=NAME))
        )
        assert (names_of(beside), cn_of(beside)) == ({OTHER}, NAME)
        address = leaf_of(
            await client.sign(client.token(sub="10.0.0.7", sans=["10.0.0.7"]), named_csr(common_name="10.0.0.7"))
        )
        assert cn_of(address) == "10.0.0.7"

    play(scenario)


def test_a_type_that_the_csr_lacks_is_not_missed__t15(play: Play) -> None:
    """DNS names in the CSR, an address only in the token: the certificate has both."""

    async def scenario(client: StepClient) -> None:
        reply = await client.sign(client.token(sans=[NAME, "10.0.0.7"]), named_csr(x509.DNSName(NAME)))
        assert names_of(leaf_of(reply)) == {NAME, "10.0.0.7"}

    play(scenario)


def test_a_long_subject_that_is_a_name_leaves_the_cn_out(play: Play) -> None:
    """No CN is longer than 64 characters (RFC 5280, ub-common-name)."""

    async def scenario(client: StepClient) -> None:
        name = "a" * 50 + ".b.internal.example"
        leaf = leaf_of(await client.sign(client.token(sub=name, sans=[name]), csr_der(name)))
        assert (names_of(leaf), len(leaf.subject)) == ({name}, 0)
        refused(await client.sign(client.token(sub=name), named_csr()), 403, "64 characters")

    play(scenario)


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        ({}, 24 * 3600),
        ({"notAfter": ""}, 24 * 3600),
        ({"notAfter": "1h"}, 3600),
        ({"notAfter": "2026-11-24T13:00:00Z"}, 3600),
        ({"notBefore": "10m", "notAfter": "1h10m"}, 3600),
        ({"notBefore": "-5m"}, 24 * 3600),
        ({"notAfter": "24h"}, 24 * 3600),
    ],
)
def test_times_that_are_asked_for_are_exact__t18(play: Play, asked: dict[str, str], seconds: int) -> None:
    """Spans count from now; without a start it is back-dated by a minute at most, which counts for nothing."""

    async def scenario(client: StepClient) -> None:
        leaf = leaf_of(await client.sign(body=asked))
        begin, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
        whole = (end - begin).total_seconds() + 1
        assert seconds <= whole <= seconds + 61
        if asked.get("notAfter"):
            assert end == NOW + timedelta(seconds=seconds if "notBefore" not in asked else seconds + 600)

    play(scenario)


@pytest.mark.parametrize(
    "asked", ["25h", "1m", "-2h", "0", "2026-11-26T12:00:00Z", "2020-01-01T00:00:00Z", "999999999h"]
)
@pytest.mark.parametrize("member", ["notAfter", "notBefore"])
def test_times_out_of_bounds_are_refused__t18(play: Play, member: str, asked: str) -> None:
    """Beyond the maximum, below the minimum, in the past: refused, never clamped."""
    if member == "notBefore" and asked in {"1m", "0"}:
        return  # good ones

    async def scenario(client: StepClient) -> None:
        reply = await client.sign(body={member: asked})
        assert reply.status in {400, 403}, reply.body
        assert await certificates(client.peer) == 0

    play(scenario)


def test_unknown_members_and_template_data_are_ignored__t20(play: Play) -> None:
    """What a template would have been fed changes nothing."""

    async def scenario(client: StepClient) -> None:
        reply = await client.sign(templateData={"subject": {"commonName": "{{ .Token }}"}}, more=1)
        assert cn_of(leaf_of(reply)) == NAME

    play(scenario)


# --- once -------------------------------------------------------------------------------------------------------------


def test_a_token_is_good_for_one_certificate__t2_to_t4(play: Play) -> None:
    """The same token again, the same jti in other bytes, no jti at all: 401 token already used."""

    async def scenario(client: StepClient) -> None:
        first, same, none = (
            client.token(jti="x"),
            client.token(jti="x", exp=int(NOW.timestamp()) + 200),
            client.token(jti=...),
        )
        assert (await client.sign(first)).status == 201
        refused(await client.sign(first), 401, "token already used")
        refused(await client.sign(same), 401, "token already used")
        assert (await client.sign(none)).status == 201
        refused(await client.sign(none), 401, "token already used")
        assert await certificates(client.peer) == 2

    play(scenario)


def test_fifty_uses_at_once_give_one_certificate__t3(play: Play) -> None:
    """The commit decides; the losers' signatures are never seen."""

    async def scenario(client: StepClient) -> None:
        token = client.token()
        replies = await asyncio.gather(*(client.sign(token) for _ in range(50)))
        assert sorted(reply.status for reply in replies) == [201] + [401] * 49
        assert all("token already used" in reply.json["message"] for reply in replies if reply.status == 401)
        assert await certificates(client.peer) == 1

    play(scenario)


def test_a_refused_request_leaves_its_token_good__t2(play: Play) -> None:
    """Only a certificate uses a token up: after a refused CSR the right one passes."""

    async def scenario(client: StepClient) -> None:
        token = client.token()
        refused(await client.sign(token, csr_der(OTHER)), 403, "does not agree")
        assert (await client.sign(token)).status == 201

    play(scenario)


def test_a_forged_token_does_not_burn_a_jti__t5(play: Play) -> None:
    """A stranger's signature over the victim's jti: 401, nothing stored, and the victim's token passes."""

    async def scenario(client: StepClient) -> None:
        stranger = StepClient(client.peer, ec_key())
        header = {"kid": client.kid, "typ": "JWT"}
        for _ in range(3):
            refused(await client.sign(stranger.token(header, jti="victim")), 401, "signature")
        assert (await client.sign(client.token(jti="victim"))).status == 201

    play(scenario)


def test_junk_adds_no_row__t6(play: Play) -> None:
    """A thousand junk tokens: the log and the claims are as they were."""

    async def scenario(client: StepClient) -> None:
        before = await client.peer.store.log.head()
        statuses = {(await client.sign(f"{number}.a.b")).status for number in range(1000)}
        assert statuses == {401, 429}  # the limit on bad credentials
        assert await client.peer.store.log.head() == before

    play(scenario)


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sub", "sans"),
    [
        ("api.example.org", ["api.example.org"]),  # no rule
        ("*.internal.example", ["*.internal.example"]),  # no wildcards in the rule
        ("192.0.2.1", ["192.0.2.1"]),
        ("https://a.internal.example/x", ["https://a.internal.example/x"]),
        ("ops@internal.example", ["ops@internal.example"]),
        (".internal.example", [".internal.example"]),
        ("bücher.internal.example", ["bücher.internal.example"]),
        ("127.1", ["127.1"]),
        ("a device", [NAME]),
        ("api.example.org", [NAME]),  # the CN meets the rules of a name, too
        ("ca.internal.example", [NAME]),  # the CA's own name
        (NAME, [NAME, "x" * 254]),
        (NAME, ["fe80::1%eth0"]),
        (NAME, ["::ffff:10.0.0.1"]),
        (NAME, [NAME, "{{ .Token }}"]),
        (NAME, [NAME, "a.internal.example,b"]),
        (NAME, [NAME, "a/b.internal.example"]),
    ],
)
def test_names_that_no_rule_gives__t16(play: Play, sub: str, sans: list[str]) -> None:
    """Another domain, a wildcard, an address, a URI, an e-mail address, odd spellings: 403, and nothing is issued."""

    async def scenario(client: StepClient) -> None:
        reply = await client.sign(client.token(sub=sub, sans=sans), named_csr())
        refused(reply, 403, "The request was forbidden by the certificate authority: ")
        assert await certificates(client.peer) == 0

    play(scenario)


def test_a_subject_that_is_no_name_is_a_matter_of_names__t14(play: Play) -> None:
    """As a stock client sends it, in token and CSR alike: 403, as for any name that no rule gives."""

    async def scenario(client: StepClient) -> None:
        csr = named_csr(x509.DNSName(NAME), common_name="My Laptop")
        refused(await client.sign(client.token(sub="My Laptop"), csr), 403, "My Laptop: no rule allows it")

    play(scenario)


def test_a_refused_name_tells_rule_owner_nearest_and_denial__step_12(play: Play) -> None:
    """What an admin needs to mend it, in the text that stock clients print and as members for ours."""

    async def scenario(client: StepClient) -> None:
        name = "api.internal.exampel"
        reply = await client.sign(client.token(sub=name, sans=[name]), named_csr())
        refused(reply, 403, name, "default-deny", "request ")
        assert reply.json["rule"] == "default-deny"
        assert (reply.json["owner"], reply.json["nearest"]) == ("", NAME)
        assert reply.json["message"].count(name) == 1
        assert reply.json["message"].count(NAME) == 1
        denial = await client.peer.store.denials.denial(reply.json["denial"])
        assert (denial.identifier.value, denial.provisioner) == (name, OWNER)

    play(scenario)


def test_every_denied_name_is_told_with_its_denial__interfaces_6(play: Play) -> None:
    """Nine at once: the members of each in `denials`, the first's beside the text; the text says five, and how many."""

    async def scenario(client: StepClient) -> None:
        names = [f"n{number}.example.org" for number in range(9)]
        reply = await client.sign(client.token(sub=names[0], sans=names), named_csr())
        refused(reply, 403, "9 names are not allowed; n0.example.org: no rule allows it", "and 4 more", "request ")
        told = reply.json["denials"]
        assert [one["name"] for one in told] == names
        assert {frozenset(one) for one in told} == {frozenset({"name", "rule", "owner", "nearest", "denial"})}
        assert len({one["denial"] for one in told} - {""}) == 9
        assert {name: reply.json[name] for name in ("rule", "owner", "nearest", "denial")}.items() <= told[0].items()
        assert reply.json["message"].count("n1.example.org") == 1

    play(scenario)


def test_the_rules_of_the_moment_decide__t21(play: Play) -> None:
    """A rule that came after the token was made gives the name; one that went takes it."""

    async def scenario(client: StepClient) -> None:
        name = "api.example.org"
        token = client.token(sub=name, sans=[name])
        refused(await client.sign(token, named_csr()), 403)
        await put(client.peer, Rule("r9", RuleKind.DNS, name, OWNER))
        assert (await client.sign(token, named_csr())).status == 201
        late = client.token(sub=name, sans=[name])
        await put(client.peer, remove=(("rule", "r9"),))
        refused(await client.sign(late, named_csr()), 403)

    play(scenario)


@pytest.mark.parametrize(
    ("sans", "csr"),
    [
        ([NAME], named_csr(x509.DNSName(NAME), x509.DNSName(OTHER))),
        ([NAME, OTHER], named_csr(x509.DNSName(NAME))),
        ([NAME], named_csr(x509.IPAddress(ip_address("10.0.0.1")))),
        ([NAME, "10.0.0.1"], named_csr(x509.IPAddress(ip_address("10.0.0.2")))),
        ([NAME], named_csr(common_name=OTHER)),
    ],
    ids=["more", "fewer of a type", "another type", "another address", "another CN"],
)
def test_a_csr_that_does_not_agree__t15(play: Play, sans: list[str], csr: bytes) -> None:
    """More names, fewer of a type that it has, another CN: 403."""

    async def scenario(client: StepClient) -> None:
        refused(await client.sign(client.token(sans=sans), csr), 403, "does not agree")

    play(scenario)


def test_a_token_bound_to_another_csr__t17(play: Play) -> None:
    """`cnf`: 403 for any other request, 201 for its own."""

    async def scenario(client: StepClient) -> None:
        csr = csr_der()
        bound = {"x5rt#S256": b64u_encode(hashlib.sha256(csr).digest())}
        token = client.token(cnf=bound)
        refused(await client.sign(token), 403, "cnf")
        assert (await client.sign(token, csr)).status == 201

    play(scenario)


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"csr": ...}, 400),
        ({"csr": None}, 400),
        ({"ott": ...}, 400),
        ({"ott": ""}, 400),
        ({"csr": "x"}, 400),
        ({"csr": csr_pem(csr_der()[:-3])}, 400),
        ({"csr": csr_pem(csr_der() + b"\0")}, 400),
        ({"csr": csr_pem(b"\x30" * 20_000)}, 400),
        ({"csr": csr_pem(named_csr(x509.UniformResourceIdentifier("urn:a:b")))}, 400),
        ({"csr": csr_pem(named_csr(x509.RFC822Name("*@b.c")))}, 400),
        ({"notAfter": "soon"}, 400),
        ({"notAfter": 3600}, 400),
    ],
)
def test_a_request_that_cannot_be_read__t19(play: Play, changes: dict[str, Any], status: int) -> None:
    """Missing, empty, broken: 400 with step's opening."""

    async def scenario(client: StepClient) -> None:
        refused(await client.sign(body=changes), status, "The request could not be completed: ")
        assert await certificates(client.peer) == 0

    play(scenario)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("defect", [one for one in DEFECTS if one != "no name"])
def test_a_csr_with_a_defect_is_refused_as_by_acme__t19(play: Play, defect: str) -> None:
    """Each defect of the catalogue, to /sign and to /rekey: 400, and nothing is issued."""

    async def scenario(client: StepClient) -> None:
        leaf = await client.issued()
        for reply in (await client.sign(csr=DEFECTS[defect]() or b"\0"), await leaf.rekey(DEFECTS[defect]() or b"\0")):
            refused(reply, 400, "The request could not be completed: ")
        assert await certificates(client.peer) == 1

    play(scenario)


def test_a_csr_with_the_cas_own_key_is_refused__f19(play: Play) -> None:
    """Not even with a token."""

    async def scenario(client: StepClient) -> None:
        signer: Any = client.peer.authority.signer
        reply = await client.sign(csr=named_csr(key=signer._key))
        refused(reply, 400, "own key")

    play(scenario)


@pytest.mark.parametrize(
    "change",
    [
        {"enabled": False},
        {"claims": Claims(max_lifetime=timedelta(minutes=5), default_lifetime=timedelta(minutes=5))},
        {"kid": "another", "key": ""},
    ],
    ids=["disabled", "shorter lifetimes", "without key"],
)
def test_the_provisioner_of_the_moment_decides__t12(play: Play, change: dict[str, Any]) -> None:
    """Disabled or without a key: 401; with shorter lifetimes: 403 for what is too long now."""

    async def scenario(client: StepClient) -> None:
        token = client.token()
        await put(client.peer, replace(provisioner_of(KEY), **change))
        reply = await client.sign(token, notAfter="1h")
        assert reply.status == (403 if "claims" in change else 401), reply.body

    play(scenario)


def test_a_token_that_names_an_acme_provisioner_is_refused_by_type__t12(play: Play) -> None:
    """CVE-2025-44005 elsewhere."""

    async def scenario(client: StepClient) -> None:
        for header in ({"kid": client.kid}, {"kid": ""}, {"typ": "JWT"}):
            refused(await client.sign(client.token(header, iss="acme")), 401, "no provisioner")

    play(scenario)


def test_kid_of_one_and_iss_of_another__t9(play: Play) -> None:
    """Both must be the same provisioner's."""

    async def scenario(client: StepClient) -> None:
        other = StepClient(client.peer, ec_key())
        await put(client.peer, Owner("second"), replace(provisioner_of(other.key), name="second"))
        refused(await client.sign(other.token(iss=OWNER)), 401)
        refused(await client.sign(client.token(iss="second")), 401)
        refused(await client.sign(other.token({"kid": client.kid}, iss=OWNER)), 401)
        assert (await client.sign(other.token(iss="second"))).status == 201

    play(scenario)


def test_bad_tokens_from_one_address_are_limited__step_12(play: Play) -> None:
    """429 with Retry-After and step's error body; after the time a good token passes."""

    async def scenario(client: StepClient) -> None:
        replies = [await client.sign("a.b.c") for _ in range(301)]
        assert [reply.status for reply in replies] == [401] * 300 + [429]
        assert int(replies[-1].headers["retry-after"]) >= 1
        refused(replies[-1], 429, "try again in")
        client.peer.clock.moment += timedelta(seconds=int(replies[-1].headers["retry-after"]))
        assert (await client.sign()).status == 201

    play(scenario)


def test_limits_can_be_switched_off(tmp_path: Path) -> None:
    """`[limits] enabled = false`."""

    async def body() -> None:
        peer = await make_step_peer(tmp_path, KEY)
        client = StepClient(replace(peer, authority=peer.authority), KEY)
        object.__setattr__(peer.authority, "limits", Limits(enabled=False))
        assert {(await client.sign("a.b.c")).status for _ in range(400)} == {401}
        await peer.store.close()

    asyncio.run(body())


# --- public reads -----------------------------------------------------------------------------------------------------


def test_health_says_no_more_than_it_must__p1(play: Play) -> None:
    """200 and one word; 503 with a Retry-After where nothing can be issued; no version either way."""

    async def scenario(client: StepClient) -> None:
        reply = await client.peer.send("GET", "/health")
        assert (reply.status, reply.json) == (200, {"status": "ok"})

        async def cannot() -> bool:
            return False

        routes = StepRoutes((b"",), (b"",), cannot).routes()
        ill = replace(client.peer, app=Application(routes, new_request_id=lambda: "r"))
        reply = await ill.send("GET", "/1.0/health")
        refused(reply, 503, "cannot issue at the moment")
        assert int(reply.headers["retry-after"]) >= 1
        assert "sqlite" not in reply.body.decode()

    play(scenario)


def test_a_root_is_found_by_its_whole_fingerprint__p2(play: Play) -> None:
    """Dashes and case aside; another, a short and a strange one are 404."""

    async def scenario(client: StepClient) -> None:
        (root,) = client.peer.authority.roots
        fingerprint = hashlib.sha256(root).hexdigest()
        dashed = "-".join(fingerprint[at : at + 2] for at in range(0, 64, 2)).upper()
        for good in (fingerprint, dashed):
            assert certificate_der((await client.peer.send("GET", f"/root/{good}")).json["ca"]) == root
        for bad in ("0" * 64, fingerprint[:-1], fingerprint + "0", "x", "a" * 4000):
            refused(await client.peer.send("GET", f"/root/{bad}"), 404)

    play(scenario)


# --- provisioners -----------------------------------------------------------------------------------------------------


def test_provisioners_are_listed_without_anything_private__p3(play: Play) -> None:
    """JWK with its public key and no encrypted one, ACME with its challenges, claims in Go's durations."""

    async def scenario(client: StepClient) -> None:
        reply = await client.peer.send("GET", "/provisioners?limit=100")
        assert (reply.status, reply.json["nextCursor"]) == (200, "")
        acme, jwk = reply.json["provisioners"]
        assert (acme["type"], acme["name"], acme["challenges"]) == (
            "ACME",
            "acme",
            ["http-01", "dns-01", "tls-alpn-01"],
        )
        assert (jwk["type"], jwk["name"], jwk["key"]["kid"]) == ("JWK", OWNER, client.kid)
        assert sorted(jwk["key"]) == ["alg", "crv", "kid", "kty", "use", "x", "y"]
        assert jwk["claims"]["maxTLSCertDuration"] == "24h0m0s"
        assert "encryptedKey" not in reply.body.decode()
        assert "e.e.e.e.e" not in reply.body.decode()

    play(scenario)


def test_provisioners_come_in_pages__p3(play: Play) -> None:
    """At most a hundred, whatever is asked for; the cursor leads through all of them once; bad limits are refused."""

    async def scenario(client: StepClient) -> None:
        more = [Provisioner(f"p{number:03}", ProvisionerType.ACME) for number in range(150)]
        await put(client.peer, *more, Provisioner("off", ProvisionerType.ACME, enabled=False))
        found: list[str] = []
        cursor, pages = "", 0
        while pages == 0 or cursor:
            reply = await client.peer.send("GET", f"/1.0/provisioners?cursor={cursor}&limit=1000")
            assert len(reply.json["provisioners"]) <= 100
            found += [one["name"] for one in reply.json["provisioners"]]
            cursor, pages = reply.json["nextCursor"], pages + 1
        assert (len(found), len(set(found)), pages) == (152, 152, 2)
        assert "off" not in found
        assert len((await client.peer.send("GET", "/provisioners")).json["provisioners"]) == 20
        for bad in ("limit=-1", "limit=x", "limit=1.5", "limit=%EF%BC%91", "limit=" + "9" * 2000, "a=1&" * 20):
            assert (await client.peer.send("GET", f"/provisioners?{bad}")).status == 400

    play(scenario)


def test_a_provisioner_without_a_key_is_listed_with_its_state__step_3(play: Play) -> None:
    """Under a type that clients skip."""

    async def scenario(client: StepClient) -> None:
        await put(client.peer, Owner("new"), Provisioner("new", ProvisionerType.JWK, kid="k"))
        found = (await client.peer.send("GET", "/provisioners")).json["provisioners"]
        (one,) = (each for each in found if each["name"] == "new")
        assert (one["type"], one["state"]) == ("Uninitialized", "Uninitialized")

    play(scenario)


def test_the_encrypted_key_has_a_switch_and_a_limit__p4(play: Play) -> None:
    """200 with the JWE; 404 for another kid, a disabled provisioner, and where it is switched off; then 429."""

    async def scenario(client: StepClient) -> None:
        path = f"/provisioners/{client.kid}/encrypted-key"
        reply = await client.peer.send("GET", path)
        assert (reply.status, reply.json) == (200, {"key": "e.e.e.e.e"})
        assert (await client.peer.send("GET", "/1.0" + path)).status == 200
        assert (await client.peer.send("GET", "/provisioners/other/encrypted-key")).status == 404
        for off in ({"publish_key": False}, {"enabled": False}, {"encrypted_key": ""}):
            await put(client.peer, replace(provisioner_of(KEY), **off))
            refused(await client.peer.send("GET", path), 404)
        statuses = [(await client.peer.send("GET", path)).status for _ in range(700)]
        assert set(statuses[-10:]) == {429}

    play(scenario)


def test_the_token_is_nowhere_in_the_database__t6(play: Play, tmp_path: Path) -> None:
    """Neither the token nor its jti nor its signature is stored."""

    async def scenario(client: StepClient) -> None:
        token = client.token(jti="a-jti-that-nobody-else-has")
        assert (await client.sign(token)).status == 201
        tokens.append(token)

    tokens: list[str] = []
    play(scenario)
    stored = b"".join(one.read_bytes() for one in tmp_path.rglob("dayfly.db*"))
    assert NAME.encode() in stored
    assert b"a-jti-that-nobody-else-has" not in stored
    assert tokens[0].rpartition(".")[2].encode() not in stored
