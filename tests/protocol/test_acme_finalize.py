"""Finalize through the front door, row by row (acme.md part 16, F; RFC 8555 7.4)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from acme_peer import BASE, Client, Peer, Play, joined, make_peer, playing, refused_connection
from dayfly.adapters.signers.keyfile import KeyFileSigner
from dayfly.core.frozen import replace
from dayfly.core.jose.encoding import b64u_encode
from dayfly.core.jose.jwk import thumbprint_of
from dayfly.core.x509.der import INTEGER, OCTET_STRING, SEQUENCE, oid, tlv
from dayfly.core.x509.hierarchy import build_intermediate
from dayfly.core.x509.lint import LintedCertificate
from dayfly.core.x509.profile import IssuerFacts
from dayfly.errors import SignerError
from dayfly.ports.changes import Changes
from factories import NAME, NOW, csr_der, ec_key
from replies import Reply
from unit.core.x509.test_csr import DEFECTS, NAMES, SAN, asked, by_hand, made

OTHER = "b.internal.example"
ROUNDS = int(os.environ.get("FINALIZE_ROUNDS", "2"))  # the row asks 200


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Run a scenario against a fresh CA."""
    return playing(tmp_path)


async def leaf_of(client: Client, done: Reply) -> x509.Certificate:
    """The certificate of a finished order."""
    assert (done.status, done.json["status"]) == (200, "valid"), done.body
    return x509.load_pem_x509_certificates((await client.post(done.json["certificate"])).body)[0]


async def certificates(peer: Peer) -> int:
    """How many certificates are stored."""
    return len(await peer.store.certificates.certificates(after=0, limit=1000))


async def state(client: Client, order: Reply) -> str:
    """The order's status now."""
    return str((await client.post(order.headers["location"])).json["status"])


def test_order_that_is_not_ready_gives_nothing__acme_f1(play: Play) -> None:
    """Pending or invalid: 403 orderNotReady, which says how it stands and why."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        pending = await client.order()
        refused = await client.finalize(pending)
        assert (refused.status, refused.problem) == (403, "orderNotReady")
        assert "pending" in refused.json["detail"]
        peer.validator.outcomes = [refused_connection(transient=False)]
        await client.prove(pending)
        refused = await client.finalize(pending)
        assert (refused.status, refused.problem) == (403, "orderNotReady")
        assert "192.0.2.1" in refused.json["detail"]
        assert await certificates(peer) == 0

    play(scenario)


def test_ready_order_gives_its_certificate__acme_f2(play: Play) -> None:
    """200, valid, Location, and a certificate with the CSR's key and the order's names."""

    async def scenario(peer: Peer) -> None:
        client, key = await joined(peer), ec_key()
        order = await client.ready(NAME, OTHER)
        done = await client.finalize(order, csr_der(OTHER, NAME, key=key))
        assert done.headers["location"] == order.headers["location"]
        assert (await client.post(order.headers["location"])).json == done.json
        leaf = await leaf_of(client, done)
        assert leaf.public_key() == key.public_key()
        san = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert san.get_values_for_type(x509.DNSName) == [NAME, OTHER]

    play(scenario)


@dataclass
class CountingSigner:
    """A signer that counts what it signs."""

    inner: KeyFileSigner
    signed: int = 0

    @property
    def issuer(self) -> IssuerFacts:
        return self.inner.issuer

    @property
    def chain(self) -> tuple[bytes, ...]:
        return self.inner.chain

    async def sign_certificate(self, linted: LintedCertificate) -> bytes:
        self.signed += 1
        await asyncio.sleep(0)  # others get their turn between the signature and the commit
        return await self.inner.sign_certificate(linted)


@pytest.mark.timeout(120 + 3 * ROUNDS)
@pytest.mark.parametrize("same", [True, False], ids=["one CSR", "fifty CSRs"])
def test_50_parallel_finalizes_make_one_signature__acme_f4(tmp_path: Path, same: bool) -> None:
    """In one process nothing is signed in vain; one wins, and with another CSR the others hear orderNotReady (F3)."""

    async def body() -> None:
        plain = await make_peer(tmp_path)
        assert isinstance(plain.authority.signer, KeyFileSigner)
        signer = CountingSigner(plain.authority.signer)
        peer = plain.with_authority(signer=signer)
        client = await joined(peer)
        for done in range(1, ROUNDS + 1):
            peer.clock.moment += timedelta(minutes=1)  # no limit is met
            order, one = await client.ready(), csr_der()
            replies = await asyncio.gather(*(client.finalize(order, one if same else csr_der()) for _ in range(50)))
            assert sorted(reply.status for reply in replies) == ([200] * 50 if same else [200] + [403] * 49)
            assert {reply.problem for reply in replies if reply.status != 200} <= {"orderNotReady"}
            assert (signer.signed, await certificates(peer)) == (done, done)
        await peer.store.close()

    asyncio.run(body())


def test_csr_that_is_no_plain_base64url_is_malformed__acme_f5(play: Play) -> None:
    """PEM, padding, the other alphabet, or no text at all; an empty one is no request; the order stays ready."""
    pem = "-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n-----END CERTIFICATE REQUEST-----\n"

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        order = await client.ready()
        for csr in (pem, b64u_encode(b"1234") + "==", "a+b/", "AAA=", "not base64url", "A", 5, None):
            refused = await client.post(order.json["finalize"], {"csr": csr})
            assert (refused.status, refused.problem) == (400, "malformed"), csr
        assert (await client.post(order.json["finalize"], {"csr": ""})).problem == "badCSR"
        assert (await client.post(order.json["finalize"], {})).problem == "malformed"
        assert await state(client, order) == "ready"

    play(scenario)


def ber() -> bytes:
    """A good request whose outer length is written in one octet more than it needs (X.690 10.1)."""
    der = made()
    assert der[1] == 0x82 or der[1] == 0x81
    octets = der[1] & 0x7F
    return der[:1] + bytes((0x80 | octets + 1, 0)) + der[2:]


def with_key(spki: bytes, key: ec.EllipticCurvePrivateKey) -> bytes:
    """A request with a key as it stands, and a good signature where that key can make one."""
    info = tlv(SEQUENCE, tlv(INTEGER, b"\0") + tlv(SEQUENCE, b"") + spki + tlv(0xA0, asked((SAN, NAMES))))
    signature = key.sign(info, ec.ECDSA(SHA256()))
    return tlv(SEQUENCE, info + tlv(SEQUENCE, oid("1.2.840.10045.4.3.2")) + tlv(0x03, b"\0" + signature))


def explicit() -> bytes:
    """A key whose curve is written out as parameters (RFC 5480 2.1.1 forbids it)."""
    key = ec_key()
    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    algorithm = tlv(SEQUENCE, oid("1.2.840.10045.2.1") + tlv(SEQUENCE, tlv(INTEGER, b"\1") + tlv(OCTET_STRING, b"\1")))
    return with_key(tlv(SEQUENCE, algorithm + tlv(0x03, b"\0" + point)), key)


def of_key(number: str) -> bytes:
    """A request whose key is of another algorithm altogether."""
    return with_key(tlv(SEQUENCE, tlv(SEQUENCE, oid(number)) + tlv(0x03, b"\0" + bytes(32))), ec_key())


MORE: dict[str, Callable[[], bytes]] = {
    "BER": ber,
    "10,000 names": lambda: made([x509.DNSName(f"n{number}.internal.example") for number in range(10_000)]),
    "iPAddress of 8 octets": lambda: by_hand(asked((SAN, tlv(SEQUENCE, tlv(0x87, bytes(8)))))),
    "iPAddress of 32 octets": lambda: by_hand(asked((SAN, tlv(SEQUENCE, tlv(0x87, bytes(32)))))),
    "P-192": lambda: made(key=ec.generate_private_key(ec.SECP192R1())),
    "P-224": lambda: made(key=ec.generate_private_key(ec.SECP224R1())),
    "brainpool": lambda: made(key=ec.generate_private_key(ec.BrainpoolP256R1())),
    "RSA 2047": lambda: made(key=rsa.generate_private_key(65537, 2047)),  # noqa: S505 - the case
    "RSA 2050": lambda: made(key=rsa.generate_private_key(65537, 2050)),
    "Ed448": lambda: csr_of_ed448(),  # noqa: PLW0108 - it is defined below
    "X25519": lambda: of_key("1.3.101.110"),
    "explicit curve": explicit,
}


def csr_of_ed448() -> bytes:
    """A request signed by an Ed448 key."""
    san = x509.SubjectAlternativeName([x509.DNSName(NAME)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).add_extension(san, critical=False)
    return builder.sign(ed448.Ed448PrivateKey.generate(), None).public_bytes(Encoding.DER)


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@pytest.mark.filterwarnings("ignore:Attribute's length:UserWarning")
def test_bad_csrs_leave_the_order_ready__acme_f5_to_f8_f11_to_f15_f18_to_f21(play: Play) -> None:
    """Each defect is 400 badCSR; after all of them the same order gives its certificate."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        order = await client.ready()
        for defect, make in {**DEFECTS, **MORE}.items():
            refused = await client.post(order.json["finalize"], {"csr": b64u_encode(make())})
            told = (refused.status, refused.problem) if refused.status != 413 else (400, "badCSR")
            assert told == (400, "badCSR"), (defect, refused.body)
            assert (refused.status == 413) is (defect == "10,000 names"), defect
        assert await state(client, order) == "ready"
        assert (await client.finalize(order)).json["status"] == "valid"
        assert await certificates(peer) == 1

    play(scenario)


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ((NAME,), f"lacks {OTHER}"),
        ((NAME, OTHER, "c.internal.example"), "has c.internal.example beyond the order"),
        (("c.internal.example", "d.internal.example"), "lacks"),
        ((NAME, f"*.{OTHER}"), f"has *.{OTHER} beyond the order"),
    ],
    ids=["fewer", "more", "others", "wildcard"],
)
def test_csr_with_other_names_leaves_the_order_ready__acme_f9(play: Play, names: tuple[str, ...], says: str) -> None:
    """400 badCSR, which says what differs; a good one follows."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        order = await client.ready(NAME, OTHER)
        refused = await client.finalize(order, csr_der(*names))
        assert (refused.status, refused.problem) == (400, "badCSR")
        assert says in refused.json["detail"]
        assert (await client.finalize(order, csr_der(NAME, OTHER))).json["status"] == "valid"

    play(scenario)


@pytest.mark.parametrize(
    "csr",
    [
        lambda: made([x509.DNSName(NAME)]),
        lambda: made([], subject=[(NameOID.COMMON_NAME, NAME)]),
        lambda: made([x509.DNSName(NAME.upper())], subject=[(NameOID.COMMON_NAME, NAME)]),
        lambda: made([x509.DNSName(NAME), x509.DNSName(NAME)]),
    ],
    ids=["only SAN", "only CN", "both", "twice"],
)
def test_names_may_stand_in_san_or_cn__acme_f10(play: Play, csr: Callable[[], bytes]) -> None:
    """The certificate has the order's names once, as alternative names."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        leaf = await leaf_of(client, await client.finalize(await client.ready(), csr()))
        san = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert san.get_values_for_type(x509.DNSName) == [NAME]

    play(scenario)


@pytest.mark.parametrize("common_name", ["10.1.2.3", "c.internal.example", "Api"])
def test_cn_outside_the_order_is_bad_csr__acme_f11(play: Play, common_name: str) -> None:
    """A name or an address, or neither: it would be in the certificate otherwise."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        order = await client.ready()
        refused = await client.finalize(order, made(subject=[(NameOID.COMMON_NAME, common_name)]))
        assert (refused.status, refused.problem) == (400, "badCSR")
        assert await state(client, order) == "ready"

    play(scenario)


def greedy() -> bytes:
    """A request for everything that a CA must not give."""
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=True, path_length=None), True),
        (
            x509.KeyUsage(
                digital_signature=True,
                content_commitment=True,
                key_encipherment=True,
                data_encipherment=True,
                key_agreement=True,
                key_cert_sign=True,
                crl_sign=True,
                encipher_only=True,
                decipher_only=False,
            ),
            True,
        ),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]), True),
        (x509.NameConstraints([x509.DNSName("evil.example")], None), True),
        (x509.CRLDistributionPoints([_point("http://evil.example/crl")]), False),
        (
            x509.AuthorityInformationAccess(
                [
                    x509.AccessDescription(
                        ObjectIdentifier("1.3.6.1.5.5.7.48.1"), x509.UniformResourceIdentifier("http://evil.example")
                    )
                ]
            ),
            False,
        ),
        (x509.UnrecognizedExtension(ObjectIdentifier("2.5.29.56"), b"\x05\x00"), False),
        (x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4.5"), b"\x05\x00"), True),
        (x509.TLSFeature([x509.TLSFeatureType.status_request]), False),
    ]

    def more(builder: Any) -> Any:
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        return builder

    fields = [
        (NameOID.ORGANIZATION_NAME, "Evil"), (NameOID.ORGANIZATIONAL_UNIT_NAME, "Corp"),
        (NameOID.SERIAL_NUMBER, "1"), (NameOID.COUNTRY_NAME, "XX"),
    ]  # fmt: skip
    return made(subject=fields, more=more)


def _point(url: str) -> x509.DistributionPoint:
    return x509.DistributionPoint([x509.UniformResourceIdentifier(url)], None, None, None)


def test_nothing_that_a_csr_asks_for_gets_into_the_certificate__acme_f12_f16_f17(play: Play) -> None:
    """Its extensions and subject are the profile's, those of a request that asks for nothing."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        plain = await leaf_of(client, await client.finalize(await client.ready()))
        leaf = await leaf_of(client, await client.finalize(await client.ready(), greedy()))
        assert leaf.subject == plain.subject
        assert "evil" not in leaf.public_bytes(Encoding.DER).decode("latin-1").lower()
        own = {"2.5.29.14"}  # the subject key identifier, which is the key's
        for one, other in zip(leaf.extensions, plain.extensions, strict=True):
            assert (one.oid, one.critical) == (other.oid, other.critical)
            assert one.oid.dotted_string in own or one.value == other.value

    play(scenario)


def test_keys_that_may_not_be_certified__acme_f20(play: Play) -> None:
    """The account's own, and the CA's."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        order = await client.ready()
        assert isinstance(peer.authority.signer, KeyFileSigner)
        for key in (client.key, peer.authority.signer._key):
            refused = await client.finalize(order, csr_der(key=key))
            assert (refused.status, refused.problem) == (400, "badCSR")
        assert await state(client, order) == "ready"
        assert (await client.finalize(order)).json["status"] == "valid"

    play(scenario)


def test_key_of_another_account_is_not_certified__acme_f20(play: Play) -> None:
    """Nor that of a deactivated one; the request says so, and nothing is signed; once it has another key it is free."""

    async def scenario(peer: Peer) -> None:
        client, other, gone = await joined(peer), await joined(peer), await joined(peer)
        assert (await gone.post(str(gone.kid), {"status": "deactivated"})).status == 200
        order = await client.ready()
        for key in (other.key, gone.key):
            refused = await client.finalize(order, csr_der(key=key))
            assert (refused.status, refused.problem) == (400, "badCSR")
            assert "key of an account" in refused.json["detail"]
        assert (await state(client, order), await certificates(peer)) == ("ready", 0)
        old, other.key = other.key, ec_key()
        stored = (await peer.store.accounts.accounts_of_key(thumbprint_of(old.public_key())))[0]
        changed = replace(stored, thumbprint=thumbprint_of(other.key.public_key()))
        await peer.store.commit(Changes(update=(changed,)))
        assert (await client.finalize(order, csr_der(key=old))).json["status"] == "valid"

    play(scenario)


def test_body_of_10_mb_is_413__acme_f8(play: Play) -> None:
    """It is not parsed, and the order stays ready."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        order = await client.ready()
        refused = await client.post(order.json["finalize"], {"csr": "A" * 10_000_000})
        assert (refused.status, refused.problem) == (413, "malformed")
        assert await state(client, order) == "ready"

    play(scenario)


def test_certificate_does_not_outlive_its_issuer__acme_f24(play: Play) -> None:
    """With two hours left of the issuer the leaf ends with it; below the shortest lifetime it is 503."""

    async def scenario(peer: Peer) -> None:
        end = peer.authority.signer.issuer.not_after
        peer.clock.moment = end - timedelta(hours=2)
        client = await joined(peer)
        leaf = await leaf_of(client, await client.finalize(await client.ready()))
        assert leaf.not_valid_after_utc == end
        order = await client.ready()
        peer.clock.moment = end - timedelta(minutes=2)
        late = await client.order(OTHER)
        assert (late.status, late.problem) == (503, "serverInternal")
        assert int(late.headers["retry-after"]) > 0
        del order

    play(scenario)


class SignerThatIsAway(CountingSigner):
    """A signer that cannot sign just now."""

    async def sign_certificate(self, linted: LintedCertificate) -> bytes:
        raise SignerError("the key is away")


def test_signer_that_is_away_is_503_and_the_order_stays_ready__acme_f24(tmp_path: Path) -> None:
    """Nothing is to be seen of a certificate; the next finalize gives it."""

    async def body() -> None:
        plain = await make_peer(tmp_path)
        assert isinstance(plain.authority.signer, KeyFileSigner)
        away = plain.with_authority(signer=SignerThatIsAway(plain.authority.signer))
        client = await joined(away)
        order, csr = await client.ready(), csr_der()
        refused = await client.finalize(order, csr)
        assert (refused.status, refused.problem) == (503, "serverInternal")
        assert int(refused.headers["retry-after"]) > 0
        assert (await state(client, order), await certificates(away)) == ("ready", 0)
        back = Client(away.with_authority(signer=plain.authority.signer), client.key, client.kid)
        assert (await back.finalize(order, csr)).json["status"] == "valid"
        await plain.store.close()

    asyncio.run(body())


def test_issuer_of_another_key_serves_what_it_signed(tmp_path: Path) -> None:
    """An order that was made under one issuing key may be finalized under the next."""

    async def body() -> None:
        plain = await make_peer(tmp_path)
        client = await joined(plain)
        order = await client.ready()
        key = ec_key()
        intermediate = build_intermediate(
            name="Next", public_key=key.public_key(), issuer=plain.authority.roots[0], issuer_key=plain.root_key,
            serial=1 << 102, not_before=NOW - timedelta(hours=1), not_after=NOW + timedelta(days=100),
        )  # fmt: skip
        peer = plain.with_authority(signer=KeyFileSigner(key, (intermediate,)))
        leaf = await leaf_of(twin := Client(peer, client.key, client.kid), await twin.finalize(order))
        leaf.verify_directly_issued_by(x509.load_der_x509_certificate(intermediate))
        await plain.store.close()

    asyncio.run(body())


def test_addresses_and_names_are_finalized_together__acme_f10(play: Play) -> None:
    """An address stands in the CN as stock `step` puts it, or as an iPAddress."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        identifiers = [{"type": "ip", "value": "10.1.2.3"}, {"type": "dns", "value": NAME}]
        order = await client.post(f"{BASE}/acme/acme/new-order", {"identifiers": identifiers})
        await client.prove(order)
        names: list[x509.GeneralName] = [x509.DNSName(NAME), x509.IPAddress(ip_address("10.1.2.3"))]
        leaf = await leaf_of(
            client, await client.finalize(order, made(names, subject=[(NameOID.COMMON_NAME, "10.1.2.3")]))
        )
        san = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert san.get_values_for_type(x509.IPAddress) == [ip_address("10.1.2.3")]

    play(scenario)
