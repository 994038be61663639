"""A connection that was dialled, read piece by piece.

Rules: no more waits here than MOST and one read; who waits longer than the peer says anything is the caller's matter,
as is the end of the connection.

asyncio's streams do the same with three objects and a dozen calls more for each connection.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import cast

MOST = 32 * 1024  # octets that wait to be read; above it the peer waits too


class Wire(asyncio.Protocol):
    """One connection; each reader raises ConnectionError, or IncompleteReadError where the peer ended too early."""

    def __init__(self) -> None:
        """Nothing has come."""
        self._came = bytearray()
        self._ended = self._paused = False
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport | None = None

    # --- what the peer does -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Octets come."""
        self._came += data
        if len(self._came) > MOST and not self._paused:
            self._paused = True
            self.transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        """The peer has said all."""
        self._ended = True
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._ended, self._error = True, self._error or exc
        self._wake()

    # --- what is done with it -----------------------------------------------------------------------------------------

    @property
    def transport(self) -> asyncio.Transport:
        """What carries it."""
        if self._transport is None:
            raise RuntimeError("a wire is used before it was dialled")
        return self._transport

    async def start_tls(self, context: ssl.SSLContext, *, server_hostname: str | None) -> None:
        """Speak TLS from here on; ssl.SSLError, ConnectionError."""
        loop = asyncio.get_running_loop()
        self._transport = await loop.start_tls(self.transport, self, context, server_hostname=server_hostname)

    async def until(self, separator: bytes) -> bytes:
        """All up to the separator, with it; LimitOverrunError where it is not among MOST octets."""
        while (found := self._came.find(separator)) < 0:
            if len(self._came) > MOST:
                raise asyncio.LimitOverrunError("the separator does not come", len(self._came))
            await self._more()
        return self._take(found + len(separator))

    async def exactly(self, count: int) -> bytes:
        """So many octets, which are no more than MOST."""
        while len(self._came) < count:
            await self._more()
        return self._take(count)

    async def some(self, most: int) -> bytes:
        """What has come, `most` octets at most; b"" at the end."""
        while not self._came and not (self._ended and self._error is None):
            await self._more()
        return self._take(most)

    def _take(self, count: int) -> bytes:
        taken = bytes(self._came[:count])
        del self._came[:count]
        return taken

    async def _more(self) -> None:
        """Wait until something came, or the end."""
        if self._ended:
            raise self._error or asyncio.IncompleteReadError(bytes(self._came), None)
        if self._paused:
            self._paused = False
            self.transport.resume_reading()
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
