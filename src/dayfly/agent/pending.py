"""The request in flight: key and CSR on disk before the first octet goes out (agent.md 1.4, 7).

Rules: every file is written whole or not at all; the order's URL is kept as soon as it is known, and the answer as
soon as it is read, so that a killed agent asks for the same certificate again and never for a second one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from dayfly.agent.layout import read_file, replace_file, shred_file, sync_directory


@dataclass(frozen=True, slots=True)
class PendingOrder:
    """The order in flight: its URL, and the notAfter that was asked for, if one was."""

    url: str
    not_after: datetime | None = None


class Pending:
    """`pending/<name>`: key and CSR before the first octet goes out, then order and answer as they are known."""

    def __init__(self, room: Path) -> None:
        """Name the directory."""
        self._room = room

    def read(self, name: str) -> bytes | None:
        """The file `key.pem`, `request.csr`, `names` or `answer.pem`, or None."""
        return read_file(self._room / name)

    def save(self, name: str, data: bytes) -> None:
        """Write a file, durably."""
        replace_file(self._room / name, data)

    def order(self) -> PendingOrder | None:
        """The order in flight, or None."""
        data = self.read("order.json")
        try:
            return msgspec.json.decode(data, type=PendingOrder) if data is not None else None
        except msgspec.MsgspecError:
            return None

    def save_order(self, order: PendingOrder) -> None:
        """Keep the order as soon as it is known."""
        self.save("order.json", msgspec.json.encode(order))

    def drop_order(self) -> None:
        """Forget order and answer, and keep key and CSR: the next request makes a new order for them."""
        for name in ("answer.pem", "order.json"):
            (self._room / name).unlink(missing_ok=True)
        sync_directory(self._room)

    def empty(self) -> None:
        """Remove everything; the key last, since it is what the other files are about."""
        for name in (".tmp-answer.pem", ".tmp-order.json", ".tmp-request.csr", ".tmp-names"):
            (self._room / name).unlink(missing_ok=True)
        self.drop_order()
        for name in ("request.csr", "names"):
            (self._room / name).unlink(missing_ok=True)
        for name in (".tmp-key.pem", "key.pem"):
            shred_file(self._room / name)
        sync_directory(self._room)
