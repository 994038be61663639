"""Checkpoints: the log's head, signed with the log's own key once it has grown."""

from __future__ import annotations

from dayfly.authority.context import Authority
from dayfly.core.transparency.checkpoint import Checkpoint


async def sign_checkpoint(authority: Authority, *, last_size: int) -> int:
    """Sign and keep a checkpoint of the committed head if it is larger than `last_size`; the size now covered."""
    head = await authority.store.log.head()
    if head.size <= last_size:
        return last_size
    checkpoint = Checkpoint(authority.note_signer.origin, head.size, head.root)
    note = await authority.note_signer.sign_checkpoint(checkpoint)
    await authority.store.log.add_checkpoint(head.size, note)
    return head.size
