"""What is downloaded: the leaf, its chain, and the other chains that it has (acme.md part 16, C; RFC 8555 7.4.2)."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from acme_peer import BASE, Client, Peer, Play, joined, make_peer, playing
from dayfly.core.x509.alternates import AlternateChain, make_alternate_chain
from dayfly.core.x509.hierarchy import build_intermediate, build_root
from factories import NOW, csr_der, ec_key
from replies import Reply


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Run a scenario against a fresh CA."""
    return playing(tmp_path)


def links(reply: Reply, relation: str) -> list[str]:
    """The URLs of the answer's links with this relation."""
    return re.findall(rf'<([^>]*)>;rel="{relation}"', reply.headers.get("link", ""))


async def issued(client: Client) -> str:
    """The URL of a certificate."""
    done = await client.finalize(await client.ready())
    return str(done.json["certificate"])


def test_chain_is_leaf_first_without_the_root_and_nothing_else__acme_c1(play: Play) -> None:
    """Whatever Accept says: PEM in lines that end with LF, each certificate signed by the next (RFC 8555 9.1)."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        url = await issued(client)
        plain = await client.post(url)
        assert (plain.status, plain.headers["content-type"]) == (200, "application/pem-certificate-chain")
        for accept in (b"application/pkix-cert", b"text/plain;q=0.1", b"nonsense"):
            answer = await client.post(url, headers=[(b"accept", accept)])
            assert (answer.status, answer.body) == (200, plain.body)
        text = plain.body.decode("ascii")
        assert "\r" not in text
        block = r"-----BEGIN CERTIFICATE-----\n(?:[A-Za-z0-9+/=]{1,64}\n)+-----END CERTIFICATE-----\n"
        assert re.fullmatch(f"(?:{block}){{2}}", text)
        leaf, issuer = x509.load_pem_x509_certificates(plain.body)
        leaf.verify_directly_issued_by(issuer)
        assert issuer.issuer != issuer.subject
        assert links(plain, "alternate") == []

    play(scenario)


def test_certificate_of_another_account_is_404__acme_c2(play: Play) -> None:
    """Word for word as one that is not there (RFC 8555 10.5)."""

    async def scenario(peer: Peer) -> None:
        owner, other = await joined(peer), await joined(peer)
        url = await issued(owner)
        theirs = await other.post(url)
        missing = await other.post(f"{BASE}/acme/acme/certificate/0000000000000001")
        assert (theirs.status, theirs.problem) == (404, "malformed")
        assert theirs.json == missing.json
        assert (await owner.post(url)).status == 200

    play(scenario)


@pytest.mark.parametrize("last", ["0000000000000001", "7fffffffffffffff", "1", "x" * 16, "..", "0000000000000001/1"])
def test_guessed_id_is_404__acme_c5(play: Play, last: str) -> None:
    """Ids of no certificate, of whatever form."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        reply = await client.post(f"{BASE}/acme/acme/certificate/{last}")
        assert (reply.status, reply.problem) == (404, "malformed")

    play(scenario)


def test_order_has_no_certificate_before_it_is_valid__acme_c2(play: Play) -> None:
    """Neither a member nor a resource: the ids of orders and certificates are different things."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        order = await client.ready()
        assert "certificate" not in order.json
        order_id = order.headers["location"].rpartition("/")[2]
        assert (await client.post(f"{BASE}/acme/acme/certificate/{order_id}")).status == 404

    play(scenario)


def cross_signed(peer: Peer, *, days: int) -> tuple[bytes, AlternateChain]:
    """Another root, and the CA's issuing key certified under it."""
    key = ec_key()
    issuing = x509.load_der_x509_certificate(peer.authority.signer.chain[0]).public_key()
    assert isinstance(issuing, ec.EllipticCurvePublicKey)
    end = NOW + timedelta(days=days)
    root = build_root(name="Other", key=key, serial=1 << 90, not_before=NOW - timedelta(hours=1), not_after=end)
    cross = build_intermediate(
        name="Test CA", public_key=issuing, issuer=root, issuer_key=key, serial=1 << 91,
        not_before=NOW - timedelta(hours=1), not_after=end,
    )  # fmt: skip
    return root, make_alternate_chain((cross,), peer.authority.signer.issuer)


def test_alternate_chains_are_linked_and_resolve__acme_c3_c4(tmp_path: Path) -> None:
    """Each under POST-as-GET, with the same leaf, to its own root; the answers link to one another (RFC 8555 7.4.2)."""

    async def body() -> None:
        made = await make_peer(tmp_path)
        (first_root, first), (_, second) = (cross_signed(made, days=days) for days in (30, 60))
        peer = made.with_authority(alternates=(first, second))
        client, other = await joined(peer), await joined(peer)
        url = await issued(client)
        plain = await client.post(url)
        assert links(plain, "alternate") == [f"{url}/1", f"{url}/2"]
        leaf = x509.load_pem_x509_certificates(plain.body)[0]
        one = await client.post(f"{url}/1")
        assert (one.status, one.headers["content-type"]) == (200, "application/pem-certificate-chain")
        assert links(one, "alternate") == [url, f"{url}/2"]
        found, above = x509.load_pem_x509_certificates(one.body)
        assert found == leaf
        found.verify_directly_issued_by(above)
        above.verify_directly_issued_by(x509.load_der_x509_certificate(first_root))
        for bad in (f"{url}/0", f"{url}/3", f"{url}/01", f"{url}/x", f"{url}/"):
            assert (await client.post(bad)).status == 404, bad
        assert (await other.post(f"{url}/1")).status == 404
        assert (await client.post(f"{url}/1", {})).problem == "malformed"
        peer.clock.moment += timedelta(days=30)
        assert links(await client.post(url), "alternate") == [f"{url}/2"]  # the first has ended
        assert (await client.post(f"{url}/1")).status == 404
        await peer.store.close()

    asyncio.run(body())


def test_same_order_gives_the_same_certificate_again__acme_c1(play: Play) -> None:
    """As often as it is asked for."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        order, csr = await client.ready(), csr_der()
        urls = {(await client.finalize(order, csr)).json["certificate"] for _ in range(3)}
        assert len(urls) == 1
        bodies = {(await client.post(url)).body for url in urls for _ in range(2)}
        assert len(bodies) == 1

    play(scenario)
