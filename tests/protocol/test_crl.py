"""CRLs from a long leaf to a reader that refuses it (acme.md part 10, RFC 5280 5)."""

from __future__ import annotations

import asyncio
import subprocess
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from acme_peer import Peer
from dayfly.adapters.inspection.database import inspect_database
from dayfly.adapters.signers.keyfile import KeyFileSigner
from dayfly.authority.context import CRLSettings, SingleFlight
from dayfly.authority.crls import current_crl, is_due, refresh_crls
from dayfly.core.settings.claims import make_claims
from dayfly.core.x509.hierarchy import build_intermediate
from dayfly.core.x509.leaf import authority_key_id
from dayfly.core.x509.partitions import partition_of, render_partition
from dayfly.errors import Conflict, SignerError, Unavailable
from dayfly.ports.crls import StoredCRL
from factories import NOW, ec_key
from replies import Reply
from step_peer import KEY, Leaf, Play, StepClient, provisioner_of, put, refused

BASE_URL = "http://ca.internal.example:9080"
DAYS_30 = timedelta(days=30)


async def with_crls(client: StepClient, *, validity: timedelta = timedelta(hours=24)) -> Peer:
    """CRLs are on, and the provisioner gives 30 days."""
    peer = client.peer
    peer.authority.crl = CRLSettings(BASE_URL, validity)
    await put(peer, provisioner_of(KEY, claims=make_claims(default=DAYS_30, maximum=DAYS_30)))
    return peer


async def fetch(peer: Peer, leaf: Leaf, **headers: str) -> Reply:
    """The CRL that the leaf names."""
    url = url_of(leaf)
    assert url.startswith(BASE_URL)
    sent = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return await peer.send("GET", url.removeprefix(BASE_URL), headers=sent)


def url_of(leaf: Leaf) -> str:
    """What the leaf names as its CRL."""
    points = leaf.certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    names = [name.value for point in points for name in point.full_name or []]
    assert len(names) == 1
    return str(names[0])


def partition(leaf: Leaf) -> int:
    """The leaf's partition."""
    return partition_of(leaf.certificate.not_valid_after_utc)


def serials(reply: Reply) -> set[int]:
    """The entries of an answer."""
    assert reply.status == 200, reply.body
    return {one.serial_number for one in x509.load_der_x509_crl(reply.body)}


def test_long_leaf_names_a_crl_and_is_on_it_once_it_is_revoked__acme_10(play: Play) -> None:
    """At once, with its reason; another leaf of the day is not, nor is a short one in any."""

    async def scenario(client: StepClient) -> None:
        peer = await with_crls(client)
        bad, good = await client.issued(), await client.issued()
        assert url_of(bad).endswith(f"/crl/{render_partition(partition(bad))}.crl")
        assert serials(await fetch(peer, bad)) == set()
        peer.clock.moment += timedelta(seconds=1)
        assert (await client.revoke(bad.serial, reasonCode=1)).status == 200
        reply = await fetch(peer, good)
        assert serials(reply) == {bad.serial}
        (entry,) = x509.load_der_x509_crl(reply.body)
        assert entry.revocation_date_utc == NOW + timedelta(seconds=1)
        assert entry.extensions.get_extension_for_class(x509.CRLReason).value.reason is x509.ReasonFlags.key_compromise

    play(scenario)


def test_short_leaf_names_none_and_is_on_none__rfc9608(play: Play) -> None:
    """Also while CRLs are on."""

    async def scenario(client: StepClient) -> None:
        peer = await with_crls(client)
        await put(peer, provisioner_of(KEY))
        short = await client.issued()
        with pytest.raises(x509.ExtensionNotFound):
            url_of(short)
        await client.revoke(short.serial)
        reply = await peer.send("GET", f"/crl/{render_partition(partition(short))}.crl")
        assert serials(reply) == set()

    play(scenario)


def test_no_long_leaf_without_crls__acme_10(play: Play) -> None:
    """503 and nothing signed, where ca.toml lost what the provisioner needs."""

    async def scenario(client: StepClient) -> None:
        peer = await with_crls(client)
        peer.authority.crl = CRLSettings()
        refused(await client.sign(), 503)
        assert await peer.store.certificates.certificates(after=0, limit=9) == ()
        refused(await peer.send("GET", "/crl/20261224.crl"), 404)

    play(scenario)


@pytest.mark.parametrize("name", ["20261224", "20261122.crl", "20271229.crl", "x.crl", "20261224.CRL", "..crl"])
def test_what_no_leaf_can_name_is_not_found(play: Play, name: str) -> None:
    """Nothing is signed for a stranger who asks for days beyond the longest life, or before yesterday."""

    async def scenario(client: StepClient) -> None:
        peer = await with_crls(client)
        refused(await peer.send("GET", f"/crl/{name}"), 404)
        assert await peer.store.crls.heads() == ()

    play(scenario)


def test_answer_can_be_kept_and_asked_about__rfc9110_13(play: Play) -> None:
    """Tag and dates; 304 while it is the newest, 200 once it is not."""

    async def scenario(client: StepClient) -> None:
        peer = await with_crls(client)
        leaf = await client.issued()
        reply = await fetch(peer, leaf)
        found = reply.headers
        assert found["content-type"] == "application/pkix-crl"
        assert found["cache-control"] == "public, max-age=60"
        assert found["expires"] == "Wed, 25 Nov 2026 12:00:00 GMT"
        assert found["last-modified"] == "Tue, 24 Nov 2026 11:59:00 GMT"
        for headers in (
            {"if_none_match": found["etag"]},
            {"if_none_match": f'"x", W/{found["etag"]}'},
            {"if_modified_since": found["last-modified"]},
        ):
            known = await fetch(peer, leaf, **headers)
            assert (known.status, known.body, known.headers["etag"]) == (304, b"", found["etag"])
        other = await fetch(peer, leaf, if_none_match='"x"', if_modified_since=found["last-modified"])
        assert other.status == 200
        await client.revoke(leaf.serial)
        assert (await fetch(peer, leaf, if_none_match=found["etag"])).status == 200

    play(scenario)


def test_numbers_rise_across_restarts_and_processes__rfc5280_5_2_3(play: Play) -> None:
    """One that is in order is signed by nobody else; each new one has a higher number."""

    async def scenario(client: StepClient) -> None:
        peer = await with_crls(client)
        twin = peer.with_authority(crls={})
        leaf, numbers = await client.issued(), []
        for _ in range(3):
            first = await current_crl(peer.authority, partition(leaf))
            assert await current_crl(twin.authority, partition(leaf)) == first
            numbers.append(first.head.number)
            await client.revoke((await client.issued()).serial)
            peer.clock.moment += timedelta(seconds=1)
            found = await current_crl(twin.authority, partition(leaf))
            assert found.head.entries == first.head.entries + 1
            numbers.append(found.head.number)
            assert await current_crl(peer.authority, partition(leaf)) == found
            await client.revoke((await client.issued()).serial)
            peer.clock.moment += timedelta(seconds=1)
        assert numbers == sorted(set(numbers))

    play(scenario)


def test_two_processes_at_once_have_one_list__rfc5280_5_2_3(play: Play) -> None:
    """Both sign, one is kept, and the other's is seen by nobody."""

    async def scenario(client: StepClient) -> None:
        peer = await with_crls(client)
        twin, leaf = peer.with_authority(crls={}), await client.issued()
        for _ in range(2):
            first, second = await asyncio.gather(
                current_crl(peer.authority, partition(leaf)), current_crl(twin.authority, partition(leaf))
            )
            assert first == second
            await client.revoke((await client.issued()).serial)

    play(scenario)


def test_list_that_was_overtaken_is_dropped_unseen__acme_10(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """One process signs for long; another one revokes and signs meanwhile: nobody has the list of the first."""

    async def scenario(client: StepClient) -> None:
        peer = await with_crls(client)
        leaf, sign, goes_on = await client.issued(), type(peer.authority.signer).sign_crl, asyncio.Event()
        slow = peer.with_authority(crls={}, making_crl=SingleFlight())

        async def late(signer: object, checked: object) -> bytes:
            der = await sign(signer, checked)  # type: ignore[arg-type]  # they are what they are
            if asyncio.current_task() is waiting:
                await goes_on.wait()
            return der

        monkeypatch.setattr(type(peer.authority.signer), "sign_crl", late)
        waiting = asyncio.create_task(current_crl(slow.authority, partition(leaf)))
        await asyncio.sleep(0.05)
        await client.revoke(leaf.serial)
        newest = await fetch(peer, leaf)
        assert serials(newest) == {leaf.serial}
        goes_on.set()
        assert (await waiting).der == newest.body
        for one in (peer, slow):
            assert (await current_crl(one.authority, partition(leaf))).der == newest.body

    play(scenario)


def test_list_of_another_issuer_is_not_served_in_the_name_of_todays__acme_10(play: Play) -> None:
    """After a change of the intermediate the next reader gets one that today's issuer signed, though none was due."""

    async def scenario(client: StepClient) -> None:
        peer = await with_crls(client)
        leaf = await client.issued()
        first = await current_crl(peer.authority, partition(leaf))
        later = await changed_issuer(peer)
        found = await current_crl(later.authority, partition(leaf))
        crl, (issuer, *_) = x509.load_der_x509_crl(found.der), later.authority.signer.chain
        assert found.head.number > first.head.number
        assert crl.is_signature_valid(x509.load_der_x509_certificate(issuer).public_key())  # type: ignore[arg-type]  # EC
        assert await current_crl(later.authority, partition(leaf)) == found

    play(scenario)


def test_doctor_counts_long_leaves_by_who_signed_them__acme_10(play: Play, tmp_path: Path) -> None:
    """Those that live and are not revoked; a short one names no CRL."""

    async def scenario(client: StepClient) -> None:
        peer = await with_crls(client)
        first, _, revoked = [await client.issued() for _ in range(3)]
        await client.revoke(revoked.serial)
        later = await changed_issuer(peer)
        peer.authority.signer = later.authority.signer
        third = await client.issued()
        await put(peer, provisioner_of(KEY))
        await client.issued()
        told = inspect_database(tmp_path / "dayfly.db", None, now=peer.clock.now())
        found = {one.signed_by.key_id: (one.count, one.until) for one in told.long_leaves}
        end = first.certificate.not_valid_after_utc
        assert found == {authority_key_id(first.der): (2, end), authority_key_id(third.der): (1, end)}
        over = inspect_database(tmp_path / "dayfly.db", None, now=end + timedelta(seconds=1))
        assert over.long_leaves == ()

    play(scenario)


async def changed_issuer(peer: Peer) -> Peer:
    """The same CA with another intermediate of the same root, as after its start."""
    now, key = peer.clock.now(), ec_key()
    der = build_intermediate(
        name="Test CA", public_key=key.public_key(), issuer=peer.authority.roots[0], issuer_key=peer.root_key,
        serial=1 << 102, not_before=now - timedelta(hours=1), not_after=now + timedelta(days=3650),
    )  # fmt: skip
    return peer.with_authority(signer=KeyFileSigner(key, (der,)), crls={})


def test_many_readers_cost_one_signature_and_a_lost_race_is_made_again(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one process they wait for each other; between two the store decides."""

    async def scenario(client: StepClient) -> None:
        peer = await with_crls(client)
        leaf, signatures = await client.issued(), []
        sign = type(peer.authority.signer).sign_crl

        async def counted(signer: object, checked: object) -> bytes:
            signatures.append(checked)
            return await sign(signer, checked)  # type: ignore[arg-type]  # they are what they are

        monkeypatch.setattr(type(peer.authority.signer), "sign_crl", counted)
        replies = await asyncio.gather(*(fetch(peer, leaf) for _ in range(20)))
        assert len({one.body for one in replies}) == 1
        assert len(signatures) == 1
        keep, lost = peer.store.crls.keep, [True]

        async def late(crl: StoredCRL, *, after: int) -> None:
            if lost:
                lost.pop()
                raise Conflict("another process was first")
            await keep(crl, after=after)

        monkeypatch.setattr(peer.store.crls, "keep", late)
        await client.revoke(leaf.serial)
        assert serials(await fetch(peer, leaf)) == {leaf.serial}
        assert len(signatures) == 3

    play(scenario)


def test_large_list_is_made_beside_the_loop(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """And says the same as a small one."""

    async def scenario(client: StepClient) -> None:
        peer = await with_crls(client)
        leaf, other = await client.issued(), await client.issued()
        monkeypatch.setattr("dayfly.core.x509.crl.MANY_ENTRIES", 1)
        for one in (leaf, other):
            await client.revoke(one.serial)
        assert serials(await fetch(peer, leaf)) == {leaf.serial, other.serial}

    play(scenario)


def test_list_in_memory_is_served_while_it_is_good__reliability_r4(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the store or the key; after its end the answer is 503 with Retry-After."""

    async def scenario(client: StepClient) -> None:
        peer = await with_crls(client)
        leaf = await client.issued()
        first = await fetch(peer, leaf)

        async def away(_: int) -> None:
            raise Unavailable("the disk is full")

        monkeypatch.setattr(peer.store.crls, "crl", away)
        peer.clock.moment += timedelta(hours=23)
        assert (await fetch(peer, leaf)).body == first.body
        monkeypatch.undo()

        async def broken(*_: object) -> bytes:
            raise SignerError("the token was pulled out")

        monkeypatch.setattr(type(peer.authority.signer), "sign_crl", broken)
        assert (await fetch(peer, leaf)).body == first.body
        peer.clock.moment += timedelta(hours=2)
        reply = await fetch(peer, leaf)
        assert (reply.status, reply.headers["retry-after"]) == (503, "5")

    play(scenario)


def test_races_that_are_lost_again_and_again_are_503(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others make it, so the next try has it."""

    async def scenario(client: StepClient) -> None:
        peer = await with_crls(client)
        leaf = await client.issued()

        async def lose(_: StoredCRL, *, after: int) -> None:
            raise Conflict(f"another process was first after {after}")

        monkeypatch.setattr(peer.store.crls, "keep", lose)
        assert (await fetch(peer, leaf)).status == 503

    play(scenario)


def test_upkeep_makes_what_is_due_and_forgets_what_is_over__acme_10(play: Play) -> None:
    """Before nextUpdate, and a revocation that nobody asked about; a partition goes a day after its leaves."""

    async def scenario(client: StepClient) -> None:
        peer = await with_crls(client)
        leaf = await client.issued()
        first = await current_crl(peer.authority, partition(leaf))
        await client.revoke(leaf.serial)
        peer.clock.moment += timedelta(seconds=5)
        await refresh_crls(peer.authority, peer.clock.now())
        (head,) = await peer.store.crls.heads()
        assert (head.entries, head.number > first.head.number) == (1, True)
        peer.clock.moment += timedelta(hours=17)
        assert is_due(head, peer.clock.now())
        await refresh_crls(peer.authority, peer.clock.now())
        (newer,) = await peer.store.crls.heads()
        assert newer.next_update > head.next_update
        peer.clock.moment = leaf.certificate.not_valid_after_utc + timedelta(days=1)
        await refresh_crls(peer.authority, peer.clock.now())
        assert len(await peer.store.crls.heads()) == 1
        peer.clock.moment += timedelta(days=1)
        await refresh_crls(peer.authority, peer.clock.now())
        assert await peer.store.crls.heads() == ()
        assert peer.authority.crls == {}
        assert (await fetch(peer, leaf)).status == 404
        peer.authority.crl = CRLSettings()
        await refresh_crls(peer.authority, peer.clock.now())

    play(scenario)


def test_openssl_refuses_the_revoked_leaf_and_takes_the_other__acme_10(play: Play, tmp_path: Path) -> None:
    """`openssl verify -crl_check` with the list that the leaf names, also by the reading of extended CRLs."""

    async def scenario(client: StepClient) -> None:
        peer = await with_crls(client)
        bad, good = await client.issued(), await client.issued()
        await client.revoke(bad.serial, reasonCode=1)
        crl = x509.load_der_x509_crl((await fetch(peer, bad)).body)
        (tmp_path / "crl.pem").write_bytes(crl.public_bytes(Encoding.PEM))
        _write(tmp_path / "root.pem", peer.authority.roots[0])
        _write(tmp_path / "chain.pem", *peer.authority.signer.chain)
        for leaf, says in ((bad, "certificate revoked"), (good, "OK")):
            _write(tmp_path / "leaf.pem", leaf.der)
            for extended in ((), ("-extended_crl",)):
                assert says in _verify(tmp_path, peer.clock.now(), *extended), (says, extended)

    play(scenario)


def _write(path: Path, *ders: bytes) -> None:
    path.write_bytes(b"".join(x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM) for der in ders))


def _verify(where: Path, now: datetime, *more: str) -> str:
    moment = str(int(now.timestamp()))
    command = (
        "openssl", "verify", "-crl_check", "-CAfile", "root.pem", "-untrusted", "chain.pem", "-CRLfile", "crl.pem",
        "-attime", moment, *more, "leaf.pem",
    )  # fmt: skip
    done = subprocess.run(command, cwd=where, capture_output=True, text=True, timeout=20, check=False)
    return done.stdout + done.stderr
