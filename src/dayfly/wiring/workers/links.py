"""What supervisor and children say to each other, over a pair of sockets.

Rules: a message is a length and MessagePack; the end of the stream is the end of the other side; nothing here waits
for ever.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import msgspec

from dayfly.errors import DayflyError

SEND_TIMEOUT = 2.0  # seconds for a child to take a message
_LENGTH = 4  # octets
_CHUNK = 1 << 16


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The child serves."""


class Beat(msgspec.Struct, frozen=True, tag=True):
    """The child lives; `failing` names its checks of readiness that fail."""

    failing: tuple[str, ...] = ()


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The child cannot start: the error's text and its next step."""

    message: str
    hint: str = ""


class About(msgspec.Struct, frozen=True, tag=True):
    """To the collector: whose figures it shows, and which database tells the names in use."""

    name: str
    database: str


class Reload(msgspec.Struct, frozen=True, tag=True):
    """To a worker: ca.toml, which the supervisor has read and found good; each reload has its own number."""

    number: int
    text: bytes


class Reloaded(msgspec.Struct, frozen=True, tag=True):
    """The worker runs with what the reload of this number brought."""

    number: int


Message = Ready | Beat | Failed | About | Reload | Reloaded
_ENCODER = msgspec.msgpack.Encoder()
_DECODER: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


def render(message: Message) -> bytes:
    """The octets of a message."""
    body = _ENCODER.encode(message)
    return len(body).to_bytes(_LENGTH) + body


class Link:
    """The supervisor's end: it never waits for what may come, and sends within two seconds or not at all."""

    def __init__(self, end: socket.socket) -> None:
        """Nothing has come yet."""
        self.socket = end
        self._come = bytearray()
        self._is_torn = False

    def send(self, message: Message) -> bool:
        """Send a message; False where the child is gone or does not take it, and from then on.

        It may have taken a part: what was sent behind that would be read as the rest of it.
        """
        if self._is_torn:
            return False
        self.socket.settimeout(SEND_TIMEOUT)
        try:
            self.socket.sendall(render(message))
        except OSError:  # TimeoutError is one
            self._is_torn = True
        return not self._is_torn

    def receive(self) -> list[Message] | None:
        """What has come; None where the other side has ended."""
        self.socket.settimeout(0)
        try:
            data = self.socket.recv(_CHUNK)
        except BlockingIOError:
            return []
        except OSError:
            return None
        if not data:
            return None
        self._come += data
        return self._whole()

    def _whole(self) -> list[Message]:
        found: list[Message] = []
        while len(self._come) >= _LENGTH:
            end = _LENGTH + int.from_bytes(self._come[:_LENGTH])
            if len(self._come) < end:
                break
            found.append(_DECODER.decode(self._come[_LENGTH:end]))
            del self._come[:end]
        return found


class Upward:
    """A child's end, on its event loop."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Made by `open_upward`."""
        self._reader = reader
        self._writer = writer

    def send(self, message: Message) -> None:
        """Send soon; a supervisor that is gone is met by `messages`."""
        if not self._writer.is_closing():
            self._writer.write(render(message))

    async def messages(self) -> AsyncIterator[Message]:
        """What comes, until the supervisor is gone."""
        while True:
            try:
                length = int.from_bytes(await self._reader.readexactly(_LENGTH))
                yield _DECODER.decode(await self._reader.readexactly(length))
            except (asyncio.IncompleteReadError, OSError):
                return

    async def first(self) -> Message:
        """What comes first; DayflyError where the supervisor is gone before."""
        async for message in self.messages():
            return message
        raise DayflyError("the supervisor is gone")

    async def fail(self, error: DayflyError) -> None:
        """Tell why this child cannot start."""
        self.send(Failed(error.message, error.hint))
        await self.close()

    async def close(self) -> None:
        """What was sent leaves before the end."""
        try:
            await self._writer.drain()
            self._writer.close()
            await self._writer.wait_closed()
        except OSError:
            return


async def open_upward(end: socket.socket) -> Upward:
    """The child's end of a pair, for this loop."""
    end.setblocking(False)  # noqa: FBT003 - the standard library's signature
    return Upward(*await asyncio.open_unix_connection(sock=end))
