"""Replay nonces (RFC 8555 6.5).

Rules: a nonce is good once in all workers of a host; issuing one writes nothing to the database.
"""

from __future__ import annotations

from typing import Protocol


class Nonces(Protocol):
    """Replay nonces, each good for one request (RFC 8555 6.5)."""

    def issue(self) -> str:
        """A fresh nonce: base64url, at least 128 bits, no row written."""
        ...

    async def spend(self, nonce: str) -> None:
        """Use it up; BadNonce when it is unknown, too old or spent, all with one text."""
        ...
