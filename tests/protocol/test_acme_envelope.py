"""Directory, nonces and the envelope through the front door, row by row (acme.md part 16, D and J).

Every answer here is checked for what holds of all: never a 500, and a problem document with a fresh nonce after a POST.
"""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from acme_peer import BASE, Client, Peer, Play, joined, playing
from dayfly.adapters.nonces import RingNonces
from dayfly.core.jose.encoding import b64u_decode, b64u_encode
from factories import NAME, ec_key
from replies import Reply

NEW_ORDER, NEW_ACCOUNT = f"{BASE}/acme/acme/new-order", f"{BASE}/acme/acme/new-account"
ORDER = json.dumps({"identifiers": [{"type": "dns", "value": NAME}]}).encode()
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
Sign = Callable[[bytes], bytes]


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Run a scenario against a fresh CA."""
    return playing(tmp_path)


def es256(key: ec.EllipticCurvePrivateKey) -> Sign:
    """The signature as RFC 7518 3.4 has it: r and s, 32 octets each."""

    def sign(data: bytes) -> bytes:
        r, s = decode_dss_signature(key.sign(data, ec.ECDSA(SHA256())))
        return r.to_bytes(32) + s.to_bytes(32)

    return sign


def jwk_of(key: ec.EllipticCurvePrivateKey) -> dict[str, str]:
    """The public key as a JWK."""
    numbers = key.public_key().public_numbers()
    return {
        "kty": "EC", "crv": "P-256",
        "x": b64u_encode(numbers.x.to_bytes(32)), "y": b64u_encode(numbers.y.to_bytes(32)),
    }  # fmt: skip


async def said(
    client: Client,
    *,
    url: str = NEW_ORDER,
    payload: bytes = ORDER,
    header: dict[str, Any] | None = None,
    without: tuple[str, ...] = (),
    sign: Sign | None = None,
    outer: Callable[[dict[str, Any]], Any] = lambda members: members,
) -> Reply:
    """A request that is right but for what is given; what holds of every answer is checked."""
    members = {"alg": "ES256", "kid": client.kid, "nonce": await client.peer.nonce(), "url": url} | (header or {})
    protected = b64u_encode(json.dumps({key: members[key] for key in members if key not in without}).encode())
    text = b64u_encode(payload)
    signature = (sign or es256(client.key))(f"{protected}.{text}".encode())
    body = outer({"protected": protected, "payload": text, "signature": b64u_encode(signature)})
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    return checked(await client.peer.send("POST", url.removeprefix(BASE), sent))


def checked(reply: Reply) -> Reply:
    """The answer, after what holds of all refusals of a POST."""
    assert len(b64u_decode(reply.headers["replay-nonce"])) * 8 >= 128
    if reply.status >= 400:
        assert reply.headers["content-type"] == "application/problem+json"
        assert reply.json["status"] == reply.status
        assert reply.json["detail"]
    return reply


def told(reply: Reply) -> tuple[int, str]:
    """The status and the kind of problem."""
    return reply.status, reply.problem if reply.status >= 400 else ""


MALFORMED = (400, "malformed")


def refusing(play: Play, expected: tuple[int, str], deviations: Mapping[str, Mapping[str, Any]]) -> None:
    """Play each request; it is refused so, none makes an order, and a plain one after them is good."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        for name, deviation in deviations.items():
            assert told(await said(client, **deviation)) == expected, name
        assert await peer.store.orders.order_counts() == {}
        assert (await said(client)).status == 201

    play(scenario)


# --- directory and nonces ---------------------------------------------------------------------------------------------


def test_directory_has_absolute_urls_that_are_there__acme_d1(play: Play) -> None:
    """Https on the base URL, each behind it something that takes a POST or answers HEAD; no pre-authorization."""

    async def scenario(peer: Peer) -> None:
        directory = await peer.send("GET", "/acme/acme/directory")
        assert (directory.status, directory.headers["cache-control"]) == (200, "no-cache")
        assert "index" not in directory.headers.get("link", "")
        urls = {key: value for key, value in directory.json.items() if str(value).startswith("https://")}
        assert {"newNonce", "newAccount", "newOrder"} <= set(urls)
        assert "newAuthz" not in urls
        assert len(directory.json.keys() - urls.keys() - {"meta"}) == 1  # the key that no client knows
        for key, url in urls.items():
            assert url.startswith(f"{BASE}/acme/acme/"), key
            if key != "renewalInfo":
                found = await peer.send("POST", url.removeprefix(BASE), b"{}")
                assert told(found) == MALFORMED, key

    play(scenario)


HOSTILE = [
    (b"x-forwarded-host", b"evil.example"), (b"x-forwarded-proto", b"http"), (b"x-forwarded-for", b"192.0.2.66"),
    (b"forwarded", b"host=evil.example;proto=http"), (b"x-original-url", b"https://evil.example/"),
]  # fmt: skip


def test_what_a_request_says_of_hosts_is_never_reflected__acme_d2_d3(play: Play) -> None:
    """A hostile Host and X-Forwarded-* change no URL, in no answer."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        plain = await peer.send("GET", "/acme/acme/directory")
        answers = [
            await peer.send("GET", "/acme/acme/directory", headers=[*HOSTILE]),
            await client.post(NEW_ORDER, json.loads(ORDER), headers=HOSTILE),
            await client.post(f"{BASE}/acme/acme/order/1", headers=HOSTILE),
        ]
        for answer in answers:
            assert "evil.example" not in answer.body.decode() + str(answer.headers)
        known = {key: value for key, value in answers[0].json.items() if str(value).startswith("https")}
        assert known == {key: value for key, value in plain.json.items() if str(value).startswith("https")}

    play(scenario)


def test_directory_and_nonce_are_read_in_every_way__acme_d4_d5_d6(play: Play) -> None:
    """POST-as-GET 200 and 204, HEAD 200, GET 204, empty, with a nonce that nobody keeps."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        assert (await client.post(f"{BASE}/acme/acme/directory")).status == 200
        nonces = [
            await client.post(f"{BASE}/acme/acme/new-nonce"),
            await peer.send("HEAD", "/acme/acme/new-nonce"),
            await peer.send("GET", "/acme/acme/new-nonce"),
        ]
        assert [one.status for one in nonces] == [204, 200, 204]
        assert all(one.body == b"" and one.headers["cache-control"] == "no-store" for one in nonces)
        assert len({one.headers["replay-nonce"] for one in nonces}) == 3
        assert all('rel="index"' in one.headers["link"] for one in nonces)

    play(scenario)


def test_used_nonce_is_bad_with_a_fresh_one__acme_d9(play: Play) -> None:
    """400 badNonce; the retry with the nonce of that answer succeeds (RFC 8555 6.5)."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        nonce = await peer.nonce()
        assert (await said(client, header={"nonce": nonce})).status == 201
        refused = await said(client, header={"nonce": nonce})
        assert told(refused) == (400, "badNonce")
        assert (await said(client, header={"nonce": refused.headers["replay-nonce"]})).status == 200

    play(scenario)


def test_nonce_100_times_at_once_passes_once__acme_d10(play: Play) -> None:
    """Exactly one success; the others are badNonce, each with a fresh one."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        nonce = await peer.nonce()
        replies = await asyncio.gather(*(said(client, header={"nonce": nonce}) for _ in range(100)))
        assert sorted(one.status for one in replies) == [201] + [400] * 99
        assert {one.problem for one in replies if one.status == 400} == {"badNonce"}
        assert len({one.headers["replay-nonce"] for one in replies}) == 100

    play(scenario)


def test_missing_and_unknown_nonces_are_bad__acme_d12(play: Play) -> None:
    """400 badNonce (RFC 8555 6.5)."""
    deviations: dict[str, dict[str, Any]] = {
        "none": {"without": ("nonce",)},
        "unknown": {"header": {"nonce": "A" * 40}},
    }
    refusing(play, (400, "badNonce"), deviations)


def test_nonce_that_is_no_base64url_is_malformed__acme_d14(play: Play) -> None:
    """Padded, with a space, of another alphabet, or a number (RFC 8555 6.5.2)."""
    refusing(play, MALFORMED, {str(text): {"header": {"nonce": text}} for text in ("AAAA=", "AA AA", "AA+A", 5)})


def test_nonce_in_a_request_header_counts_for_nothing__acme_d13(play: Play) -> None:
    """Only the one that was signed does."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        nonce = await peer.nonce()
        refused = await client.post(str(client.kid), nonce=None, headers=[(b"replay-nonce", nonce.encode())])
        assert told(refused) == (400, "badNonce")
        assert (await client.post(str(client.kid), nonce=nonce)).status == 200  # and it is unspent

    play(scenario)


def test_nonces_take_no_memory_however_many_there_are__acme_d15() -> None:
    """20,000 of them leave nothing behind: no row, and no octet for each."""
    nonces = RingNonces()
    for _ in range(100):
        nonces.issue()
    tracemalloc.start()
    for _ in range(20_000):
        nonces.issue()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 20_000


def test_other_methods_are_405_with_those_that_are_taken__acme_d16_d17(play: Play) -> None:
    """PUT, DELETE, PATCH and TRACE everywhere; GET and HEAD where reading is POST-as-GET (RFC 8555 6.3)."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        order = await client.ready()
        done = await client.finalize(order)
        authorization = order.json["authorizations"][0]
        challenge = (await client.post(authorization)).json["challenges"][0]["url"]
        posted = (client.kid, order.headers["location"], authorization, challenge, done.json["certificate"], NEW_ORDER)
        for url in posted:
            for method in ("GET", "HEAD", "PUT", "DELETE", "PATCH", "TRACE"):
                reply = await peer.send(method, str(url).removeprefix(BASE))
                assert (reply.status, reply.headers["allow"]) == (405, "POST"), (method, url)
                if method != "HEAD":
                    assert reply.problem == "malformed"
        for method in ("PUT", "DELETE", "PATCH", "TRACE"):
            assert (await peer.send(method, "/acme/acme/directory")).headers["allow"] == "GET, HEAD, POST"

    play(scenario)


# --- algorithm and signature ------------------------------------------------------------------------------------------


def hs256(key: ec.EllipticCurvePrivateKey) -> Sign:
    """A MAC under the public key, which everybody knows."""

    def sign(data: bytes) -> bytes:
        mac = HMAC(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo), SHA256())
        mac.update(data)
        return mac.finalize()

    return sign


def test_other_algorithms_are_refused_with_the_list__acme_j1_j2(play: Play) -> None:
    """400 badSignatureAlgorithm, and `algorithms` says which there are (RFC 8555 6.2)."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        for alg in ("none", "None", "HS256", "RS1", "ES256K", "PS256", "ES512", "xyz", "es256", ""):
            for sign in (hs256(client.key), lambda _: b"", es256(client.key)):
                reply = await said(client, header={"alg": alg}, sign=sign)
                assert told(reply) == (400, "badSignatureAlgorithm"), alg
                assert {"RS256", "ES256", "ES384", "EdDSA"} <= set(reply.json["algorithms"])
                assert alg not in reply.json["algorithms"]
        assert await peer.store.orders.order_counts() == {}

    play(scenario)


def test_algorithm_that_is_no_text_or_not_the_keys_is_malformed__acme_j3_j4(play: Play) -> None:
    """An EC key of P-256 signs with ES256 (RFC 7518 3.4)."""
    deviations: dict[str, dict[str, Any]] = {"none": {"without": ("alg",)}}
    for alg in (5, ["ES256"], "RS256", "ES384", "EdDSA"):
        deviations[str(alg)] = {"header": {"alg": alg}}
    refusing(play, MALFORMED, deviations)


def test_other_forms_of_an_ecdsa_signature_are_malformed__acme_j5_j6(play: Play) -> None:
    """DER, another length, r or s that is none of the group (RFC 7518 3.4)."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        good = es256(client.key)
        forms: list[Sign] = [
            lambda data: client.key.sign(data, ec.ECDSA(SHA256())),
            lambda data: good(data)[:-1],
            lambda data: good(data) + b"\0",
            lambda _: b"",
            lambda data: bytes(32) + good(data)[32:],
            lambda data: good(data)[:32] + bytes(32),
            lambda data: P256_ORDER.to_bytes(32) + good(data)[32:],
            lambda data: good(data)[:32] + P256_ORDER.to_bytes(32),
            lambda data: good(data)[:32] + b"\xff" * 32,
        ]
        for place, form in enumerate(forms):
            assert told(await said(client, sign=form)) == MALFORMED, place
        assert await peer.store.orders.order_counts() == {}

    play(scenario)


def test_the_other_s_does_not_make_another_request__acme_j7(play: Play) -> None:
    """(r, n-s) verifies too, but its nonce is spent: 400 badNonce."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        sent: list[dict[str, str]] = []

        def seen(members: dict[str, Any]) -> dict[str, Any]:
            sent.append(members)
            return members

        assert (await said(client, outer=seen)).status == 201
        signature = b64u_decode(sent[0]["signature"])
        other = signature[:32] + (P256_ORDER - int.from_bytes(signature[32:])).to_bytes(32)
        body = json.dumps(sent[0] | {"signature": b64u_encode(other)}).encode()
        assert told(checked(await peer.send("POST", "/acme/acme/new-order", body))) == (400, "badNonce")

    play(scenario)


def okp(octets: bytes) -> dict[str, str]:
    """An Ed25519 JWK."""
    return {"kty": "OKP", "crv": "Ed25519", "x": b64u_encode(octets)}


def test_eddsa_is_taken_in_one_form_only__acme_j8(play: Play) -> None:
    """A key of small order is badPublicKey, a signature whose S is not reduced malformed (RFC 8032 5.1.7)."""
    order = (1 << 252) + 27742317777372353535851937790883648493

    async def scenario(peer: Peer) -> None:
        client, key = Client(peer), Ed25519PrivateKey.generate()
        public = key.public_key().public_bytes_raw()
        asked: dict[str, Any] = {"url": NEW_ACCOUNT, "payload": b"{}", "without": ("kid",)}

        def stretched(data: bytes) -> bytes:
            signature = key.sign(data)
            return signature[:32] + (int.from_bytes(signature[32:], "little") + order).to_bytes(32, "little")

        head = {"alg": "EdDSA", "jwk": okp(public)}
        assert told(await said(client, header=head, sign=stretched, **asked)) == MALFORMED
        small = {"alg": "EdDSA", "jwk": okp(b"\x01" + bytes(31))}
        assert told(await said(client, header=small, sign=key.sign, **asked)) == (400, "badPublicKey")
        assert (await said(client, header=head, sign=key.sign, **asked)).status == 201

    play(scenario)


# --- the form of the JWS ----------------------------------------------------------------------------------------------


def compact(members: dict[str, str]) -> bytes:
    """RFC 7515 7.1."""
    return f"{members['protected']}.{members['payload']}.{members['signature']}".encode()


def general(members: dict[str, str]) -> dict[str, Any]:
    """RFC 7515 7.2.1."""
    signature = {name: members[name] for name in ("protected", "signature")}
    return {"payload": members["payload"], "signatures": [signature]}


FORMS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "compact": compact,
    "general": general,
    "signatures beside": lambda members: members | {"signatures": []},
    "header": lambda members: members | {"header": {"kid": members["protected"]}},
    "empty header": lambda members: members | {"header": {}},
    "no payload": lambda members: {name: members[name] for name in ("protected", "signature")},
    "no signature": lambda members: {name: members[name] for name in ("protected", "payload")},
    "no protected": lambda members: {name: members[name] for name in ("payload", "signature")},
    "null payload": lambda members: members | {"payload": None},
    "list": lambda members: [members],
    "nothing": lambda _: b"",
    "two documents": lambda members: json.dumps(members).encode() * 2,
    "duplicate": lambda members: json.dumps(members).encode()[:-1] + b', "payload": ""}',
    "UTF-16": lambda members: json.dumps(members).encode("utf-16"),
    "BOM": lambda members: b"\xef\xbb\xbf" + json.dumps(members).encode(),
    "padded": lambda members: members | {"payload": members["payload"] + "="},
    "space": lambda members: members | {"payload": members["payload"][:4] + " " + members["payload"][4:]},
    "plus": lambda members: members | {"signature": "+" + members["signature"][1:]},
    "slash": lambda members: members | {"signature": "/" + members["signature"][1:]},
    "beyond ASCII": lambda members: members | {"payload": members["payload"] + "é"},
}


def test_only_the_flattened_form_is_read_and_strictly__acme_j9_j10_j13_j23_j24(play: Play) -> None:
    """Everything else is malformed, whatever is signed in it (RFC 8555 6.2)."""
    refusing(play, MALFORMED, {name: {"outer": form} for name, form in FORMS.items()})


def test_extensions_and_two_keys_are_malformed__acme_j11_j12_j14(play: Play) -> None:
    """None is understood here (RFC 7515 4.1.11), and one of jwk and kid says who signs (RFC 8555 6.2)."""
    headers: tuple[dict[str, Any], ...] = (
        {"b64": True},
        {"b64": False, "crit": ["b64"]},
        {"crit": []},
        {"crit": ["exp"], "exp": 1},
        {"crit": "alg"},
        {"jwk": {"kty": "EC"}},
    )
    refusing(play, MALFORMED, {str(header): {"header": header} for header in headers})


def test_neither_or_the_wrong_key_reference_is_malformed__acme_j14_j15(play: Play) -> None:
    """Kid on newAccount, jwk elsewhere, or none of them."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        assert told(await said(client, without=("kid",))) == MALFORMED
        assert told(await said(client, header={"jwk": jwk_of(client.key)}, without=("kid",))) == MALFORMED
        assert told(await said(client, url=NEW_ACCOUNT, payload=b"{}")) == MALFORMED
        assert await peer.store.orders.order_counts() == {}

    play(scenario)


def test_kid_is_the_accounts_url_to_the_letter__acme_j16_j17(play: Play) -> None:
    """Of no account, on another host, relative, with a query, dots, a slash, other case: accountDoesNotExist."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        kid = str(client.kid)
        account = kid.rpartition("/")[2]
        for other in (
            f"{BASE}/acme/acme/account/0000000000000001",
            kid.replace("ca.internal", "evil.internal"),
            kid.removeprefix(BASE),
            account,
            kid + "?x=1",
            kid + "/",
            kid + "#a",
            kid.replace("/account/", "/account/../account/"),
            kid.replace("/account/", "//account/"),
            kid.replace("/acme/acme/", "/acme/other/"),
            kid.replace("https", "http"),
            kid.replace("account", "Account"),
            kid.replace(account, account.upper() if account != account.upper() else account + "0"),
            "",
        ):
            assert told(await said(client, header={"kid": other})) == (400, "accountDoesNotExist"), other
        for value in (5, None, [kid]):
            assert told(await said(client, header={"kid": value})) == MALFORMED, value
        assert await peer.store.orders.order_counts() == {}

    play(scenario)


def test_urls_of_keys_are_ignored__acme_j18(play: Play) -> None:
    """jku, x5u and x5c name keys elsewhere; nothing is fetched, and the account's key decides."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        header = {"jku": "https://192.0.2.66/keys", "x5u": "https://192.0.2.66/cert", "x5c": ["AAAA"]}
        assert (await said(client, header=header)).status == 201
        stranger = await said(client, header=header, sign=es256(ec_key()))
        assert told(stranger) == MALFORMED

    play(scenario)


URLS = (
    "https://ca.internal.example:9000/acme/acme/new-orders",
    "https://evil.example/acme/acme/new-order",
    "https://ca.internal.example/acme/acme/new-order",
    "http://ca.internal.example:9000/acme/acme/new-order",
    "https://CA.internal.example:9000/acme/acme/new-order",
    "https://ca.internal.example:9000/acme/acme/new%2Dorder",
    "https://ca.internal.example:9000/acme/acme/./new-order",
    "https://ca.internal.example:9000//acme/acme/new-order",
    "https://ca.internal.example:9000/acme/acme/new-order?",
    "https://ca.internal.example:9000/acme/acme/new-account",
    "https://ca.internal.example:9000/acme/acme/new-order/",
    "/acme/acme/new-order",
    "",
)


def test_url_is_compared_to_the_letter__acme_j19_j20_j21(play: Play) -> None:
    """Another path, host or spelling, another endpoint's: 403 unauthorized (RFC 8555 6.4)."""
    refusing(play, (403, "unauthorized"), {url: {"header": {"url": url}} for url in URLS})


def test_missing_url_is_malformed_and_a_hostile_host_makes_none_right__acme_j21_j22(play: Play) -> None:
    """The Host header is no base URL."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        deviations: tuple[dict[str, Any], ...] = (
            {"without": ("url",)},
            {"header": {"url": 5}},
            {"header": {"url": None}},
        )
        for deviation in deviations:
            assert told(await said(client, **deviation)) == MALFORMED
        url = "https://evil.example/acme/acme/new-order"
        refused = await client.post(NEW_ORDER, json.loads(ORDER), signed_url=url, headers=[(b"host", b"evil.example")])
        assert told(refused) == (403, "unauthorized")

    play(scenario)


# --- the payload ------------------------------------------------------------------------------------------------------


def test_reading_has_an_empty_payload__acme_j25(play: Play) -> None:
    """Anything else on a resource that is only read is malformed (RFC 8555 6.3)."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        order = await client.order()
        for payload in (b"{}", b'""', b"null", b" "):
            assert told(await said(client, url=order.headers["location"], payload=payload)) == MALFORMED, payload
        assert (await said(client, url=order.headers["location"], payload=b"")).status == 200

    play(scenario)


PAYLOADS = {
    "null": b"null",
    "list": b"[]",
    "text": b'"x"',
    "number": b"5",
    "UTF-16": ORDER.decode().encode("utf-16"),
    "BOM": b"\xef\xbb\xbf" + ORDER,
    "NaN": b'{"identifiers": NaN}',
    "1e400": b'{"identifiers": 1e400}',
    "integer of 5,000 digits": b'{"identifiers": ' + b"9" * 5_000 + b"}",
    "lone surrogate": b'{"identifiers": [{"type": "dns", "value": "\\ud800"}]}',
    "40,000 arrays": b'{"identifiers": ' + b"[" * 40_000,
    "40,000 arrays that end": b'{"identifiers": ' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    "40,000 objects": b'{"a":' * 8_000 + b"1" + b"}" * 8_000,
    "duplicate": ORDER[:-1] + b', "identifiers": []}',
    "duplicate inside": b'{"identifiers": [{"type": "dns", "type": "ip", "value": "a"}]}',
    "trailing": ORDER + b"x",
    "comment": b"{/* */}",
    "not UTF-8": b'{"identifiers": "\xff"}',
}


def test_payload_that_is_no_strict_object_is_malformed__acme_j26_j27(play: Play) -> None:
    """Each defect; depth is judged before anything is built of it, so that none costs more than its octets."""
    refusing(play, MALFORMED, {name: {"payload": payload} for name, payload in PAYLOADS.items()})


def test_body_above_the_cap_is_413__acme_j28(play: Play) -> None:
    """64 KiB and an octet; what is at the cap is read."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)

        def filled(octets: int) -> Callable[[dict[str, Any]], bytes]:
            return lambda members: json.dumps(members).encode().ljust(octets)

        assert told(await said(client, outer=filled(64 * 1024 + 1))) == (413, "malformed")
        assert (await said(client, outer=filled(64 * 1024))).status == 201

    play(scenario)


def test_other_media_types_are_415__acme_j29(play: Play) -> None:
    """application/jose+json exactly (RFC 8555 6.2)."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        jose = "application/jose+json"
        for media_type in ("", "text/plain", "application/json", f"{jose}; charset=utf-8", jose.upper()):
            reply = await client.post(NEW_ORDER, json.loads(ORDER), media_type=media_type)
            assert told(checked(reply)) == (415, "malformed"), media_type

    play(scenario)


# --- account keys -----------------------------------------------------------------------------------------------------


def rsa_jwk(numbers: rsa.RSAPublicNumbers) -> dict[str, str]:
    """An RSA JWK."""

    def text(number: int) -> str:
        return b64u_encode(number.to_bytes(-(-number.bit_length() // 8)))

    return {"kty": "RSA", "n": text(numbers.n), "e": text(numbers.e)}


def weak_keys() -> dict[str, dict[str, Any]]:
    """Keys that no account may have, as they stand in a header."""
    numbers = rsa.generate_private_key(65537, 2048).public_key().public_numbers()
    goldilocks = ed448.Ed448PrivateKey.generate().public_key().public_bytes_raw()
    near = (1 << 1023) + 1_155  # two primes' neighbours would do as well: what counts is that they are close
    point = ec_key().public_key().public_numbers()
    wrong = {"kty": "EC", "crv": "P-256", "x": b64u_encode(point.x.to_bytes(32)), "y": b64u_encode(bytes(31) + b"\1")}
    return {
        "RSA 1024": rsa_jwk(rsa.generate_private_key(65537, 1024).public_key().public_numbers()),  # noqa: S505 - the case
        "RSA 8192": rsa_jwk(rsa.RSAPublicNumbers(65537, (1 << 8191) + 1)),
        "e = 3": rsa_jwk(rsa.RSAPublicNumbers(3, numbers.n)),
        "even": rsa_jwk(rsa.RSAPublicNumbers(65537, numbers.n - 1)),
        "close primes": rsa_jwk(rsa.RSAPublicNumbers(65537, near * (near + 2))),
        "off the curve": wrong,
        "infinity": wrong | {"x": b64u_encode(bytes(32)), "y": b64u_encode(bytes(32))},
        "odd length": wrong | {"x": b64u_encode(bytes(31))},
        "P-384 as P-256": wrong | {"x": b64u_encode(bytes(48)), "y": b64u_encode(bytes(48))},
        "private": jwk_of(ec_key()) | {"d": b64u_encode(bytes(32))},
        "symmetric": {"kty": "oct", "k": b64u_encode(bytes(32))},
        "Ed448": {"kty": "OKP", "crv": "Ed448", "x": b64u_encode(goldilocks)},
        "secp256k1": jwk_of(ec_key()) | {"crv": "secp256k1"},
    }  # fmt: skip


def test_weak_and_odd_account_keys_are_bad_public_keys__acme_j30_j31_j32(play: Play) -> None:
    """400 badPublicKey before any signature is tried; nothing is kept of them."""

    async def scenario(peer: Peer) -> None:
        client = Client(peer)
        for name, jwk in weak_keys().items():
            header = {
                "jwk": jwk,
                "alg": "RS256" if jwk["kty"] == "RSA" else "EdDSA" if jwk["kty"] == "OKP" else "ES256",
            }
            reply = await said(client, url=NEW_ACCOUNT, payload=b"{}", header=header, without=("kid",))
            assert told(reply) == (400, "badPublicKey"), (name, reply.body)
            assert all(
                str(value) not in reply.body.decode() for key, value in jwk.items() if key in {"n", "x", "d", "k"}
            )

    play(scenario)


def test_key_for_another_use_is_malformed__acme_j34(play: Play) -> None:
    """`use` is sig, `alg` that of the header, where they are given (RFC 7517 4.2, 4.4)."""

    async def scenario(peer: Peer) -> None:
        client = Client(peer)
        jwk = jwk_of(client.key)
        asked: dict[str, Any] = {"url": NEW_ACCOUNT, "payload": b"{}", "without": ("kid",)}
        for members in ({"use": "enc"}, {"alg": "ES384"}, {"alg": "RS256"}):
            assert told(await said(client, header={"jwk": jwk | members}, **asked)) == MALFORMED, members
        assert (await said(client, header={"jwk": jwk | {"use": "sig", "alg": "ES256"}}, **asked)).status == 201

    play(scenario)


def test_one_key_has_one_account_however_it_is_written__acme_j33(play: Play) -> None:
    """Members that do not count and their order change nothing; other encodings are refused (RFC 7638)."""

    async def scenario(peer: Peer) -> None:
        client = Client(peer)
        jwk = jwk_of(client.key)
        asked: dict[str, Any] = {"url": NEW_ACCOUNT, "payload": b"{}", "without": ("kid",)}
        first = await said(client, header={"jwk": jwk}, **asked)
        turned = dict(reversed(jwk.items())) | {"kid": "mine", "use": "sig"}
        again = await said(client, header={"jwk": turned}, **asked)
        assert (first.status, again.status) == (201, 200)
        assert again.headers["location"] == first.headers["location"]
        longer = jwk | {"x": b64u_encode(b"\0" + b64u_decode(jwk["x"]))}
        assert told(await said(client, header={"jwk": longer}, **asked)) == (400, "badPublicKey")
        assert told(await said(client, header={"jwk": jwk | {"x": jwk["x"] + "="}}, **asked)) in {
            MALFORMED,
            (400, "badPublicKey"),
        }

    play(scenario)


def test_flipped_payload_is_malformed_and_leaves_the_nonce__acme_j35(play: Play) -> None:
    """A request whose signature fails spends nothing."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        nonce = await peer.nonce()
        other = b64u_encode(ORDER.replace(b"api", b"apx"))
        refused = await said(client, header={"nonce": nonce}, outer=lambda members: members | {"payload": other})
        assert told(refused) == MALFORMED
        assert (await said(client, header={"nonce": nonce})).status == 201

    play(scenario)
