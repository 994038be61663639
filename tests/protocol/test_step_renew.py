"""POST /renew and /rekey through the front door (step-compat.md part 5; security.md N)."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from acme_peer import BASE, Client, Peer
from dayfly.adapters.signers.keyfile import KeyFileSigner
from dayfly.authority.context import Authority
from dayfly.authority.holders import holder_of_connection
from dayfly.authority.limits import Limits
from dayfly.authority.renewals import renew
from dayfly.core.acme.objects import Certificate
from dayfly.core.frozen import replace
from dayfly.core.ids import serial_row_id
from dayfly.core.jose.jwk import KeyAlgorithm
from dayfly.core.jose.jws import sign_compact
from dayfly.core.policy.rules import Rule, RuleAction, RuleKind
from dayfly.core.problems import RateLimited
from dayfly.core.settings.claims import Claims
from dayfly.core.settings.provisioners import Provisioner, ProvisionerType
from dayfly.core.x509.hierarchy import build_intermediate
from dayfly.core.x509.pem import parse_pem_certificates
from dayfly.errors import NotFound
from dayfly.ports.reads import CertificateReads
from dayfly.ports.store import Store
from external_accounts import bound, from_elsewhere
from factories import NAME, NOW, csr_der, ec_key
from step_peer import (
    KEY,
    OWNER,
    Leaf,
    Play,
    StepClient,
    acme_leaf,
    certificates,
    cn_of,
    leaf_of,
    named_csr,
    names_of,
    provisioner_of,
    put,
    refused,
)

OTHER = "b.internal.example"
AFTER_EXPIRY = Claims(allow_renewal_after_expiry=True)


def move(peer: Peer, **by: float) -> None:
    """Let time pass."""
    peer.clock.moment += timedelta(**by)


# --- what renews ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/renew", "/1.0/renew", "/re-sign", "/1.0/re-sign"])
def test_a_certificate_renews_over_mtls__n1(play: Play, path: str) -> None:
    """201 with the same subject, names and key, another serial, and the row of its parent."""

    async def scenario(client: StepClient) -> None:
        old = await client.issued(sub=NAME, sans=[NAME, "10.0.0.1"])
        move(client.peer, hours=8)
        reply = await old.renew(path)
        assert reply.status == 201, reply.body
        assert sorted(reply.json) == ["ca", "certChain", "crt", "tlsOptions"]
        new = leaf_of(reply)
        assert (names_of(new), cn_of(new)) == (names_of(old.certificate), NAME)
        assert new.public_key() == old.certificate.public_key()
        assert new.serial_number != old.serial
        life = old.certificate.not_valid_after_utc - old.certificate.not_valid_before_utc
        assert new.not_valid_after_utc - new.not_valid_before_utc == life
        first, second = await client.peer.store.certificates.certificates(after=0, limit=9)
        assert (second.parent_id, second.provisioner) == (first.id, OWNER)
        counted = client.peer.metrics._issued
        assert counted[OWNER, "service", "renew"] == 1

    play(scenario)


def test_a_certificate_renews_by_token__n1_n14(play: Play) -> None:
    """As a stock client makes it; the same token again is refused, also in another signature."""

    async def scenario(client: StepClient) -> None:
        old = await client.issued()
        token, same = old.token(), old.token()
        assert token != same
        reply = await old.renew_by_token(token)
        assert reply.status == 201, reply.body
        for again in (token, same):
            refused(await old.renew_by_token(again), 401, "token already used")
        move(client.peer, seconds=1)
        assert (await old.renew_by_token()).status == 201
        for audience in (f"{BASE}/1.0/renew", "https://10.0.0.1:9000/renew"):
            assert (await old.renew_by_token(old.token(aud=audience))).status == 201

    play(scenario)


def test_a_certificate_of_acme_renews_over_mtls__step_13(play: Play) -> None:
    """It stays its account's."""

    async def scenario(client: StepClient) -> None:
        old = await acme_leaf(client.peer)
        reply = await old.renew()
        assert reply.status == 201, reply.body
        first, second = await client.peer.store.certificates.certificates(after=0, limit=9)
        assert (second.provisioner, second.account_id, second.order_id) == ("acme", first.account_id, None)
        assert (await old.after(reply).renew_by_token()).status == 201

    play(scenario)


def test_a_subject_beside_the_names_stays_the_cn__n1(play: Play) -> None:
    """And meets today's rules like a name."""

    async def scenario(client: StepClient) -> None:
        old = await client.issued(sub=OTHER, sans=[NAME])
        assert cn_of(leaf_of(await old.renew())) == OTHER
        await put(client.peer, Rule("d1", RuleKind.DNS, OTHER, OWNER, RuleAction.DENY))
        refused(await old.renew(), 403, OTHER)

    play(scenario)


def test_renewal_answers_to_todays_lifetimes__n1(play: Play) -> None:
    """A shorter maximum cuts it; a longer minimum stretches it."""

    async def scenario(client: StepClient) -> None:
        old = await client.issued()
        for low, high in ((1, 2), (48, 72)):
            hours = Claims(timedelta(hours=low), timedelta(hours=high), timedelta(hours=high))
            await put(client.peer, provisioner_of(KEY, claims=hours))
            new = leaf_of(await old.renew())
            life = new.not_valid_after_utc - new.not_valid_before_utc + timedelta(seconds=1)
            assert life == timedelta(hours=2 if low == 1 else 48)

    play(scenario)


def test_rekey_takes_the_key_and_nothing_else__n13(play: Play) -> None:
    """Names, CN and lifetime are the old ones, whatever the request says; the old certificate goes on working."""

    async def scenario(client: StepClient) -> None:
        old, key = await client.issued(), ec_key()
        reply = await old.rekey(named_csr(x509.DNSName("evil.example"), common_name="evil.example", key=key))
        assert reply.status == 201, reply.body
        new = leaf_of(reply)
        assert (names_of(new), cn_of(new), new.public_key()) == ({NAME}, NAME, key.public_key())
        assert (await old.after(reply, key).renew_by_token()).status == 201
        assert (await old.renew()).status == 201
        log = await client.peer.store.log.entries(0, limit=99)
        assert sum(b'"kind":"rekey"' in one.body for one in log) == 1

    play(scenario)


def test_rekey_takes_no_key_of_an_account_and_renew_keeps_its_key__rfc8555_11_1(play: Play) -> None:
    """Neither /rekey nor /sign certifies the key of an account; a certificate whose key became one's renews still."""

    async def scenario(client: StepClient) -> None:
        old, acme = await client.issued(), Client(client.peer)
        await acme.register()
        refused(await old.rekey(named_csr(key=acme.key)), 400, "key of an account")
        refused(await client.sign(csr=csr_der(key=acme.key)), 400, "key of an account")
        assert (await Client(client.peer, old.key).register()).status == 201
        assert (await old.renew()).status == 201

    play(scenario)


# --- what does not ----------------------------------------------------------------------------------------------------


def test_neither_certificate_nor_token__n2(play: Play) -> None:
    """400 with stock words; two credentials, or another scheme, are one too many."""

    async def scenario(client: StepClient) -> None:
        old = await client.issued()
        for path in ("/renew", "/rekey"):
            refused(await client.peer.send("POST", path, b"{}"), 400, "missing client certificate")
        bearer = (b"authorization", f"Bearer {old.token()}".encode())
        both = await client.peer.send("POST", "/renew", headers=[bearer], certificate=old.der)
        refused(both, 400, "one of them")
        refused(await client.peer.send("POST", "/renew", headers=[(b"authorization", b"Basic eDp5")]), 400)
        refused(await client.peer.send("POST", "/rekey", b"{}", headers=[bearer]), 400, "missing client certificate")
        assert await certificates(client.peer) == 1

    play(scenario)


@pytest.mark.parametrize("header", [b"x-client-cert", b"x-ssl-cert", b"x-forwarded-client-cert", b"ssl-client-cert"])
def test_a_certificate_in_a_header_is_ignored__n11(play: Play, header: bytes) -> None:
    """Only the connection's own counts."""

    async def scenario(client: StepClient) -> None:
        old = await client.issued()
        pem = old.certificate.public_bytes(Encoding.PEM).replace(b"\n", b" ")
        refused(await client.peer.send("POST", "/renew", headers=[(header, pem)]), 400, "missing client certificate")

    play(scenario)


def test_a_revoked_certificate_does_not_renew__n4(play: Play) -> None:
    """Neither way, and no rekeying; at once."""

    async def scenario(client: StepClient) -> None:
        old = await client.issued()
        token = old.token()
        assert (await client.revoke(old.serial)).status == 200
        for reply in (await old.renew(), await old.renew_by_token(token), await old.rekey()):
            refused(reply, 401, "revoked at 2026-11-24T12:00:00Z")
        assert await certificates(client.peer) == 1

    play(scenario)


def test_a_revocation_in_between_wins__n5(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """Revoked after the renewal was decided and before it was stored: 401, and nothing was issued."""

    async def scenario(client: StepClient) -> None:
        old = await client.issued()
        signer = client.peer.authority.signer
        sign = type(signer).sign_certificate

        async def slow(self: Any, linted: Any) -> bytes:
            der = await sign(self, linted)
            assert (await client.revoke(old.serial)).status == 200
            return der

        monkeypatch.setattr(type(signer), "sign_certificate", slow)
        refused(await old.renew(), 401, "revoked")
        assert await certificates(client.peer) == 1

    play(scenario)


# --- what was renewed from a revoked one ------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", [0, 1, 5])
def test_what_came_of_a_revoked_certificate_renews_no_more__n5(play: Play, reason: int) -> None:
    """Whoever stole a key may have renewed with it already: 401 for the whole line, by whatever way."""

    async def scenario(client: StepClient) -> None:
        first = await client.issued(sub=NAME)
        second = first.after(await first.renew())
        third = second.after(await second.renew_by_token())
        new_key = ec_key()
        rekeyed = third.after(await third.rekey(named_csr(key=new_key)), new_key)
        other = await client.issued()
        assert (await client.revoke(first.serial, reasonCode=reason)).status == 200
        before = await certificates(client.peer)
        move(client.peer, seconds=1)
        for leaf in (second, third, rekeyed):
            refused(await leaf.renew(), 401, "renewed from was revoked at", "ask for a new certificate")
            refused(await leaf.renew_by_token(), 401, "revoked")
            refused(await leaf.rekey(), 401, "revoked")
        assert await certificates(client.peer) == before
        assert (await other.renew()).status == 201
        assert (await rekeyed.revoke()).status == 200

    play(scenario)


def test_what_replaced_a_superseded_certificate_goes_on(play: Play) -> None:
    """Reason 4 says that there is another one in its place; the old one itself renews no more (RFC 5280 5.3.1)."""

    async def scenario(client: StepClient) -> None:
        first = await client.issued(sub=NAME)
        new_key = ec_key()
        second = first.after(await first.rekey(named_csr(key=new_key)), new_key)
        assert (await client.revoke(first.serial, reasonCode=4)).status == 200
        refused(await first.renew(), 401, "revoked")
        assert (await second.renew()).status == 201

    play(scenario)


def test_a_revoked_successor_leaves_what_it_came_from(play: Play) -> None:
    """The line is looked at backwards; a successor that nobody needs may be revoked alone."""

    async def scenario(client: StepClient) -> None:
        first = await client.issued()
        second = first.after(await first.renew())
        assert (await client.revoke(second.serial)).status == 200
        assert (await first.renew()).status == 201

    play(scenario)


@pytest.mark.parametrize("reason", [1, 0], ids=["keyCompromise", "another reason"])
def test_a_compromised_key_gets_no_certificate_on_any_way__x(play: Play, reason: int) -> None:
    """Renewal and rekey 401, rekey to it, /sign and finalize badCSR with the order left ready; else it goes on."""

    async def scenario(client: StepClient) -> None:
        stolen = ec_key()
        first, sibling, other = await client.issued(stolen), await client.issued(stolen), await client.issued()
        acme = Client(client.peer)
        await acme.register()
        order = await acme.ready()
        assert (await client.revoke(first.serial, reasonCode=reason)).status == 200
        before = await certificates(client.peer)
        csr = named_csr(x509.DNSName(NAME), key=stolen)
        replies = [
            await sibling.renew(),
            await sibling.rekey(),
            await other.rekey(csr),
            await client.sign(csr=csr),
            await acme.finalize(order, csr),
        ]
        if reason != 1:
            assert [reply.status for reply in replies] == [201, 201, 201, 201, 200]
            return
        assert [reply.status for reply in replies] == [401, 401, 400, 400, 400]
        for reply in replies[:2]:
            refused(reply, 401, "key is compromised", "make a new key")
        for reply in replies[2:4]:
            refused(reply, 400, "reported as compromised")
        assert replies[4].problem == "badCSR"
        assert await certificates(client.peer) == before
        assert (await acme.finalize(order)).json["status"] == "valid"

    play(scenario)


@pytest.mark.parametrize("which", ["what it comes from", "its key"])
def test_a_revocation_elsewhere_in_between_wins__n5(play: Play, monkeypatch: pytest.MonkeyPatch, which: str) -> None:
    """After the renewal was decided and before it was stored: 401, and nothing was issued."""

    async def scenario(client: StepClient) -> None:
        first = await client.issued()
        asking = first.after(await first.renew()) if which == "what it comes from" else await client.issued(first.key)
        before = await certificates(client.peer)
        signer = client.peer.authority.signer
        sign = type(signer).sign_certificate

        async def slow(self: Any, linted: Any) -> bytes:
            der = await sign(self, linted)
            assert (
                await client.revoke(first.serial, reasonCode=0 if which == "what it comes from" else 1)
            ).status == 200
            return der

        monkeypatch.setattr(type(signer), "sign_certificate", slow)
        refused(await asking.renew(), 401, "revoked")
        assert await certificates(client.peer) == before

    play(scenario)


def forged(old: Leaf) -> bytes:
    """A certificate with the serial, names and key of one of ours, and our issuer's name, signed by somebody else."""
    template = old.certificate
    builder = (
        x509.CertificateBuilder()
        .subject_name(template.subject)
        .issuer_name(template.issuer)
        .serial_number(template.serial_number)
        .public_key(old.key.public_key())
        .not_valid_before(template.not_valid_before_utc)
        .not_valid_after(template.not_valid_after_utc)
    )
    for extension in template.extensions:
        builder = builder.add_extension(extension.value, critical=extension.critical)
    return builder.sign(ec_key(), SHA256()).public_bytes(Encoding.DER)


def test_a_certificate_that_is_not_ours__n3_n7_n12(play: Play) -> None:
    """A forgery of one of ours, a stranger's, the intermediate, the root, no certificate at all: 401."""

    async def scenario(client: StepClient) -> None:
        old = await client.issued()
        (root,) = client.peer.authority.roots
        for der in (forged(old), *old.chain, root, b"", b"\x30\x03\x02\x01\x01", old.der + b"\0"):
            shown = replace(old, der=der)
            refused(await shown.renew(), 401, "no record")
            refused(await shown.rekey(), 401, "no record")
            refused(await shown.revoke(old.serial), 401, "no record")
        assert await certificates(client.peer) == 1

    play(scenario)


def test_the_cas_own_certificate_does_not_renew__n8(play: Play) -> None:
    """It has no clientAuth, and no provisioner."""

    async def scenario(client: StepClient) -> None:
        from dayfly.authority.own_certificate import OwnCertificate
        from dayfly.core.identifiers import parse_dns

        kept: list[Any] = []
        own = OwnCertificate(
            client.peer.authority, (parse_dns("ca.internal.example"),), lambda *pair: kept.append(pair)
        )
        await own.renew_if_due(NOW)
        ((chain, key),) = kept
        leaf, *rest = parse_pem_certificates(chain.decode())
        shown = Leaf(client.peer, leaf, key, tuple(rest))
        refused(await shown.renew(), 401, "clientAuth")
        refused(await shown.renew_by_token(shown.token(sub="ca.internal.example")), 401, "clientAuth")

    play(scenario)


def test_names_that_are_no_longer_allowed__n9(play: Play) -> None:
    """A tightened rule bites at the next renewal: 403 with the rule."""

    async def scenario(client: StepClient) -> None:
        old = await client.issued()
        await put(client.peer, Rule("d1", RuleKind.DNS, NAME, OWNER, RuleAction.DENY))
        for reply in (await old.renew(), await old.renew_by_token(), await old.rekey()):
            refused(reply, 403, NAME, "d1")
            assert reply.json["rule"] == "d1"

    play(scenario)


@pytest.mark.parametrize(
    "change",
    [{"enabled": False}, {"claims": Claims(disable_renewal=True)}, None],
    ids=["disabled", "renewal off", "gone"],
)
def test_a_provisioner_that_does_not_renew__n9(play: Play, change: dict[str, Any] | None) -> None:
    """Disabled, renewal off, removed: 401."""

    async def scenario(client: StepClient) -> None:
        old = await client.issued()
        if change is None:
            await put(client.peer, remove=(("provisioner", OWNER),))
        else:
            await put(client.peer, provisioner_of(KEY, **change))
        for reply in (await old.renew(), await old.renew_by_token(), await old.rekey()):
            refused(reply, 401, "provisioner")
        assert await certificates(client.peer) == 1

    play(scenario)


def test_a_request_of_rekeying_that_cannot_be_read__n13(play: Play) -> None:
    """No CSR, a broken one, the CA's own key: 400."""

    async def scenario(client: StepClient) -> None:
        old = await client.issued()
        for body in (b"", b"{}", b'{"csr":"x"}', b'{"csr":null}'):
            refused(await client.peer.send("POST", "/rekey", body, certificate=old.der), 400)
        refused(await old.rekey(csr_der()[:-2]), 400)
        signer: Any = client.peer.authority.signer
        refused(await old.rekey(named_csr(key=signer._key)), 400, "own key")

    play(scenario)


# --- time -------------------------------------------------------------------------------------------------------------


def test_an_expired_certificate_renews_by_token_within_its_bound__step_5(play: Play) -> None:
    """Never without the claim; with it for one lifetime, or the grace that is set; never over mTLS."""

    async def scenario(client: StepClient) -> None:
        old = await client.issued()
        move(client.peer, hours=25)
        refused(await old.renew(), 401, "signed token")
        refused(await old.rekey(), 401)
        refused(await old.renew_by_token(), 401, "expired at 2026-11-25T11:58:59Z")
        await put(client.peer, provisioner_of(KEY, claims=AFTER_EXPIRY))
        assert (await old.renew_by_token()).status == 201
        move(client.peer, hours=22)
        assert (await old.renew_by_token()).status == 201
        move(client.peer, hours=1)
        refused(await old.renew_by_token(), 401, "could renew until 2026-11-26T11:58:59Z")
        await put(client.peer, provisioner_of(KEY, claims=replace(AFTER_EXPIRY, renewal_grace=timedelta(days=3))))
        assert (await old.renew_by_token()).status == 201

    play(scenario)


def test_a_keep_alive_connection_outlives_its_certificate__n5(play: Play) -> None:
    """Times are looked at with every request, not with the handshake."""

    async def scenario(client: StepClient) -> None:
        old = await client.issued()
        assert (await old.renew()).status == 201
        move(client.peer, hours=24)
        refused(await old.renew(), 401, "valid from")
        client.peer.clock.moment = NOW - timedelta(hours=1)
        refused(await old.renew(), 401, "valid from")

    play(scenario)


# --- tokens -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": f"{BASE}/1.0/sign"}, {"aud": "https://ca.internal.example/renew"}, {"iss": OWNER},
        {"sub": OTHER}, {"sub": ""}, {"exp": ...}, {"exp": 1}, {"nbf": 4102444800}, {"aud": [f"{BASE}/renew"]},
    ],
)  # fmt: skip
def test_a_renewal_token_that_does_not_hold__n14(play: Play, changes: dict[str, Any]) -> None:
    """Another endpoint, host, issuer, subject; its times: 401."""

    async def scenario(client: StepClient) -> None:
        old = await client.issued()
        refused(await old.renew_by_token(old.token(**changes)), 401, "the token is not good")
        assert await certificates(client.peer) == 1

    play(scenario)


def test_a_chain_with_something_else_in_it__n14(play: Play) -> None:
    """A stranger's certificate, one of ours again, another leaf's chain: 401; the root is no harm, none is enough."""

    async def scenario(client: StepClient) -> None:
        old, other = await client.issued(), await client.issued(sans=[OTHER], sub=OTHER)
        (root,) = client.peer.authority.roots
        stranger = forged(other)
        for extra in ((*old.chain, other.der), (*old.chain, stranger), (stranger,), (b"junk",)):
            refused(await old.renew_by_token(replace(old, chain=extra).token()), 401)
        for good in ((), (*old.chain, root)):
            move(client.peer, seconds=1)
            assert (await old.renew_by_token(replace(old, chain=good).token())).status == 201

    play(scenario)


def test_a_token_signed_by_another_key__n14(play: Play) -> None:
    """With the victim's certificate in the header and the attacker's key: 401, whatever else it says."""

    async def scenario(client: StepClient) -> None:
        victim, attacker = await client.issued(), await client.issued(sans=[OTHER], sub=OTHER)
        refused(await victim.renew_by_token(replace(victim, key=attacker.key).token()), 401, "signature")
        for junk in ("", "a.b.c", "x" * 10_000, client.token()):
            refused(await victim.renew_by_token(junk), 401)
        bare = sign_compact(b"{}", key=victim.key, alg=KeyAlgorithm.ES256, header={"x5cInsecure": ["AAAA"]})
        refused(await victim.renew_by_token(bare), 401)

    play(scenario)


def test_a_leaf_without_cn_renews_over_mtls_only__step_5(play: Play) -> None:
    """A token needs a subject; the refusal says what else there is."""

    async def scenario(client: StepClient) -> None:
        name = "a" * 50 + ".b.internal.example"
        old = await client.issued(sub=name, sans=[name])
        assert not old.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        refused(await old.renew_by_token(old.token(sub=name)), 401, "no CN")
        assert (await old.renew()).status == 201

    play(scenario)


# --- how often --------------------------------------------------------------------------------------------------------


def test_fifty_renewals_at_once__n10(play: Play) -> None:
    """Six pass, each with a serial of its own; the rest are told when to come back; none is lost."""

    async def scenario(client: StepClient) -> None:
        old = await client.issued()
        replies = await asyncio.gather(*(old.renew() for _ in range(50)))
        assert sorted(reply.status for reply in replies) == [201] * 6 + [429] * 44
        assert len({leaf_of(reply).serial_number for reply in replies if reply.status == 201}) == 6
        assert all(int(reply.headers["retry-after"]) >= 1 for reply in replies if reply.status == 429)
        assert await certificates(client.peer) == 7

    play(scenario)


def test_a_daemon_that_tries_each_minute_is_let_through_in_time__n15(play: Play) -> None:
    """Six at once, then one each ten minutes, however often it tries; its successors are counted with it."""

    async def scenario(client: StepClient) -> None:
        one = await client.issued()
        taken: list[int] = []
        for minute in range(60):
            reply = await one.renew()
            if reply.status == 201:
                taken.append(minute)
                one = one.after(reply)
            else:
                refused(reply, 429, "renewed too often")
            move(client.peer, minutes=1)
        assert taken == [0, 1, 2, 3, 4, 5, 10, 20, 30, 40, 50]

    play(scenario)


async def renew_at(authority: Authority, der: bytes) -> bytes:
    """What this worker gives for a certificate, shown on a connection; RateLimited."""
    return (await renew(authority, await holder_of_connection(authority, der), source=None)).leaf


def test_a_line_that_changes_workers_is_one_line_to_each__security_7(play: Play) -> None:
    """Two workers on one store, in turn: each counts the line from its first certificate, so twice six pass, no more.

    A third that begins later finds the same line by walking back, and counts it as one, too.
    """

    async def scenario(client: StepClient) -> None:
        one = (await client.issued()).der
        first, second, third = (replace(client.peer.authority, limits=Limits()) for _ in range(3))
        for number in range(12):
            one = await renew_at((first, second)[number % 2], one)
        for worker in (first, second):
            with pytest.raises(RateLimited, match="renewed too often"):
                await renew_at(worker, one)
        for _ in range(6):
            one = await renew_at(third, one)
        for worker in (first, second, third):
            with pytest.raises(RateLimited, match="renewed too often"):
                await renew_at(worker, one)

    play(scenario)


class Forgetful:
    """Certificates of a store, without one of them."""

    def __init__(self, certificates: CertificateReads, forgotten: int) -> None:
        self._certificates, self._forgotten = certificates, forgotten

    async def certificate(self, certificate_id: int) -> Certificate:
        """As there; NotFound for the forgotten one."""
        if certificate_id == self._forgotten:
            raise NotFound("no such certificate")
        return await self._certificates.certificate(certificate_id)

    def __getattr__(self, name: str) -> Any:
        """All else as it is."""
        return getattr(self._certificates, name)


class Without:
    """A store in which one certificate is no longer there."""

    def __init__(self, store: Store, forgotten: int) -> None:
        self._store, self.certificates = store, Forgetful(store.certificates, forgotten)

    def __getattr__(self, name: str) -> Any:
        """All else as it is."""
        return getattr(self._store, name)


def test_a_line_whose_beginning_is_gone_is_still_one__security_7(play: Play) -> None:
    """A parent that the store holds no longer ends the walk there; the certificate renews, six times."""

    async def scenario(client: StepClient) -> None:
        old = await client.issued()
        one = await renew_at(replace(client.peer.authority, limits=Limits()), old.der)
        store: Any = Without(client.peer.store, serial_row_id(old.serial))
        worker = replace(client.peer.authority, limits=Limits(), store=store)
        for _ in range(6):
            one = await renew_at(worker, one)
        with pytest.raises(RateLimited):
            await renew_at(worker, one)

    play(scenario)


def test_short_lives_are_not_throttled__security_7(play: Play) -> None:
    """The window shrinks with the life: leaves of thirty seconds renew each time two thirds of it are used."""

    async def scenario(client: StepClient) -> None:
        short = Claims(timedelta(seconds=10), timedelta(seconds=30), timedelta(seconds=30))
        await put(client.peer, provisioner_of(KEY, claims=short))
        one = await client.issued()
        for _ in range(40):
            move(client.peer, seconds=20)
            reply = await one.renew()
            assert reply.status == 201, reply.body
            one = one.after(reply)

    play(scenario)


def test_what_comes_to_nothing_is_not_counted__step_14(play: Play) -> None:
    """Refused by a rule a hundred times, then allowed: the next try passes."""

    async def scenario(client: StepClient) -> None:
        old = await client.issued()
        await put(client.peer, Rule("d1", RuleKind.DNS, NAME, OWNER, RuleAction.DENY))
        for _ in range(100):
            refused(await old.renew(), 403)
        await put(client.peer, remove=(("rule", "d1"),))
        for _ in range(6):
            assert (await old.renew()).status == 201
        refused(await old.renew(), 429)

    play(scenario)


def test_another_type_of_provisioner_under_the_old_name__n9(play: Play) -> None:
    """What counts is the provisioner of this name as it is now."""

    async def scenario(client: StepClient) -> None:
        old = await client.issued()
        await put(client.peer, Provisioner(OWNER, ProvisionerType.ACME))
        assert (await old.renew()).status == 201

    play(scenario)


def test_the_log_tells_of_both__s13(play: Play) -> None:
    """The entry of the successor says that it is a renewal; its fingerprint is that of the row."""

    async def scenario(client: StepClient) -> None:
        reply = await (await client.issued()).renew()
        digest = hashlib.sha256(leaf_of(reply).public_bytes(Encoding.DER)).hexdigest()
        entries = await client.peer.store.log.entries(0, limit=99)
        assert any(digest.encode() in one.body and b'"kind":"renew"' in one.body for one in entries)

    play(scenario)


def test_renewal_goes_on_under_another_issuer__r12(play: Play) -> None:
    """After a change of the intermediate under the same root both ways renew, and the new one signs."""

    async def scenario(client: StepClient) -> None:
        old = await client.issued()
        (root,) = client.peer.authority.roots
        key = ec_key()
        intermediate = build_intermediate(
            name="Second", public_key=key.public_key(), issuer=root, issuer_key=client.peer.root_key, serial=1 << 102,
            not_before=NOW - timedelta(hours=1), not_after=NOW + timedelta(days=100),
        )  # fmt: skip
        object.__setattr__(client.peer.authority, "signer", KeyFileSigner(key, (intermediate,)))
        for reply in (await old.renew(), await old.renew_by_token()):
            assert reply.status == 201, reply.body
            leaf_of(reply).verify_directly_issued_by(x509.load_der_x509_certificate(intermediate))
        refused(await old.renew_by_token(replace(old, chain=()).token()), 401, "chain")

    play(scenario)


def test_scope_of_the_account_binds_a_renewal__acme_5(play: Play) -> None:
    """Who got it under an external account key renews within its scope: from its networks only, and no longer."""

    async def scenario(client: StepClient) -> None:
        peer = client.peer
        acme, key = await bound(peer, sources=("10.1.2.3/32",), max_lifetime=timedelta(hours=2)), ec_key()
        done = await acme.finalize(await acme.ready(), csr_der(NAME, key=key))
        leaf, *chain = parse_pem_certificates((await acme.post(done.json["certificate"])).body.decode())
        here = Leaf(peer, leaf, key, tuple(chain))
        renewed = leaf_of(await here.renew())
        assert renewed.not_valid_after_utc - renewed.not_valid_before_utc < timedelta(hours=2)
        refused(await replace(here, peer=from_elsewhere(peer)).renew(), 403, "eab:7hQ2bX0mT4kVw9Zc")

    play(scenario)
