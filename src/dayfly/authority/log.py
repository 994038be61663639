"""The append-only log: its head signed once it has grown, and all of it checked from the first entry."""

from __future__ import annotations

from dayfly.authority.context import Authority
from dayfly.core.transparency.checkpoint import Checkpoint, VerifierKey
from dayfly.core.transparency.verifying import LogReport, LogVerifier, certificate_facts
from dayfly.ports.store import Store

PAGE = 1000  # rows read at once


async def sign_checkpoint(authority: Authority, *, last_size: int) -> int:
    """Sign and keep a checkpoint of the committed head if it is larger than `last_size`; the size now covered."""
    head = await authority.store.log.head()
    if head.size <= last_size:
        return last_size
    checkpoint = Checkpoint(authority.note_signer.origin, head.size, head.root)
    note = await authority.note_signer.sign_checkpoint(checkpoint)
    await authority.store.log.add_checkpoint(head.size, note)
    return head.size


async def verify_log(store: Store, key: VerifierKey) -> LogReport:
    """Check every entry, group mark, checkpoint and certificate row, beside a running server too.

    1. All signed checkpoints, and after them the head.
    2. Entries page by page with their group marks, and the certificate rows that they tell of.
    3. The entries that have come since.
    4. The head, read again.
    """
    notes = await _all_checkpoints(store)
    verifier = LogVerifier(await store.log.head(), key=key, notes=notes)
    while not verifier.entries_read:
        size = verifier.next_index
        entries = await store.log.entries(size, limit=PAGE)
        verifier.add_entries(entries, await store.log.groups(size, limit=PAGE))
        while verifier.wants_certificates:
            rows = await store.certificates.certificates(after=verifier.last_certificate, limit=PAGE)
            verifier.add_certificates(certificate_facts(row) for row in rows)
    return await _finish(store, verifier)


async def _finish(store: Store, verifier: LogVerifier) -> LogReport:
    start = verifier.next_index
    while entries := await store.log.entries(start, limit=PAGE):
        verifier.add_entries(entries)
        start = entries[-1].index + 1
    return verifier.finish(await store.log.head())


async def _all_checkpoints(store: Store) -> list[str]:
    """Every signed note; their sizes only go up, so the largest seen is where the next page begins."""
    notes: list[str] = []
    after = 0
    while page := await store.log.checkpoints(after, limit=PAGE):
        notes.extend(page)
        after = _size_of(page[-1], after)
    return notes


def _size_of(note: str, at_least: int) -> int:
    """The size in a note, for paging; a damaged note must not stop the paging, so it counts as one step."""
    lines = note.split("\n", 2)
    return (
        max(int(lines[1]), at_least + 1)
        if len(lines) > 1 and lines[1].isascii() and lines[1].isdigit()
        else at_least + 1
    )
