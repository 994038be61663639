"""What one request may look like on the wire: the strict part that httptools does not check (security.md 8).

Rules: a limit is tested before the thing is kept; what is ambiguous is refused, never repaired; what is refused is
answered once, as a problem document, and the connection is closed. No socket and no clock in here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus
from itertools import chain

import msgspec

from dayfly.core.problems import URN
from dayfly.errors import DayflyError
from dayfly.server.exchange import PROBLEM_JSON
from dayfly.server.limits import FrontLimits

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "TRACE", "OPTIONS"})
"""What reaches the application, which answers 405 to most; CONNECT and the rest end here."""

_ALLOW = b"allow: GET, HEAD, POST"
_MORE_TO_COME = frozenset({413, 414, 431})
_SINGLE = frozenset(
    {b"host", b"content-length", b"transfer-encoding", b"expect", b"content-type", b"authorization", b"x-request-id"}
)
_HOST = re.compile(rb"[A-Za-z0-9._\-]{1,255}(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](?::[0-9]{1,5})?")
_TARGET = re.compile(rb"/[!\"$-~]*")  # visible ASCII but "#": a fragment is never sent (RFC 9112 3.2)
_LENGTH = re.compile(rb"[0-9]{1,15}")


class FramingFault(DayflyError):
    """The octets are no request that we accept; `status` is the HTTP status to answer with."""

    def __init__(self, status: int, detail: str) -> None:
        """Keep the status beside the text, which a client will read."""
        super().__init__(detail)
        self.status = status

    @property
    def expects_more(self) -> bool:
        """Is the client likely to be sending still? Then it must be read for a while, to see the answer."""
        return self.status in _MORE_TO_COME


class Incoming:
    """One request while it arrives; the methods are called in the order of the wire."""

    # What most requests leave as it is stands in the class: one is made for each request.
    method = ""
    version = ""
    target = b""
    head_read = 0
    head_done = False
    length = 0
    chunked = False
    expects_continue = False
    keep_alive = False
    overhead = 0
    body_size = 0

    def __init__(self) -> None:
        """Nothing has come yet."""
        self.headers: list[tuple[bytes, bytes]] = []  # lower-case names
        self.fields: dict[bytes, bytes] = {}
        self._parts: list[bytes] = []

    @property
    def body(self) -> bytes:
        """The body as far as it has come."""
        parts = self._parts
        return parts[0] if len(parts) == 1 else b"".join(parts)

    @property
    def accounted(self) -> int:
        """Octets that the parser has told us of: the rest of what was read is framing."""
        return self.size + self.body_size

    @property
    def size(self) -> int:
        """Octets of the head as the parser has told it: a line takes four beside name and value."""
        return len(self.target) + sum(map(len, chain.from_iterable(self.headers))) + 4 * len(self.headers)

    def add_target(self, part: bytes, limits: FrontLimits) -> None:
        """A piece of the request target; 414."""
        self.target += part
        if len(self.target) > limits.target:
            raise FramingFault(414, f"The request target is above {limits.target} octets.")

    def end_head(self, method: str, version: str, limits: FrontLimits, *, upgrade: bool, read: int) -> None:
        """All headers are there, after `read` octets at most: sizes are looked at where that is above the cap.

        Sizes (431), ambiguous ones (400), version, method (405), target, Host, framing (400, 413), Expect (417).
        """
        self.head_done = True
        self.method, self.version = method, version
        if self.head_read + read > limits.head or len(self.headers) > limits.header_count:
            self.check_head_size(limits)
        self.fields = _fields(self.headers)
        if version not in {"1.1", "1.0"}:
            raise FramingFault(400, "Only HTTP/1.1 and HTTP/1.0 are spoken here.")
        if method not in METHODS:
            raise FramingFault(405, "No resource takes this method.")
        if _TARGET.fullmatch(self.target) is None:
            raise FramingFault(400, "The request target is not in origin form.")
        host = self.fields.get(b"host")
        if (host is None and version == "1.1") or (host is not None and _HOST.fullmatch(host) is None):
            raise FramingFault(
                400, "The request needs exactly one Host header, a name or address with an optional port."
            )
        self._check_framing(limits, upgrade=upgrade)
        if b"expect" in self.fields:
            self._check_expect(self.fields[b"expect"])

    def add_unfinished_head(self, octets: int, limits: FrontLimits) -> None:
        """What was read of a head that goes on: the parser keeps an unfinished header to itself; 431."""
        self.head_read += octets
        self.check_head_size(limits)

    def check_head_size(self, limits: FrontLimits) -> None:
        """The head so far; 431."""
        if max(self.size, self.head_read) > limits.head:
            raise FramingFault(431, f"The request head is above {limits.head} octets.")
        if len(self.headers) > limits.header_count:
            raise FramingFault(431, f"There are more than {limits.header_count} headers.")

    def add_body(self, part: bytes, limits: FrontLimits) -> None:
        """A piece of the body; 413."""
        self.body_size += len(part)
        if self.body_size > limits.body:
            raise _too_large(limits)
        self._parts.append(part)

    def add_overhead(self, octets: int, limits: FrontLimits) -> None:
        """What the framing of a chunked body took; 400."""
        self.overhead += octets
        if self.overhead > limits.chunk_overhead:
            raise FramingFault(400, "The chunked framing takes too much: large chunk extensions, or tiny chunks.")

    def _check_framing(self, limits: FrontLimits, *, upgrade: bool) -> None:
        coding, length = self.fields.get(b"transfer-encoding"), self.fields.get(b"content-length")
        if coding is not None:
            if coding != b"chunked" or length is not None or self.version != "1.1":
                raise FramingFault(400, "The only transfer coding is `chunked`, with HTTP/1.1, without Content-Length.")
            self.chunked = True
        elif length is not None:
            if _LENGTH.fullmatch(length) is None:
                raise FramingFault(400, "The Content-Length is not a number of octets.")
            self.length = int(length)
            if self.length > limits.body:
                raise _too_large(limits)
        if upgrade and self.has_body:
            # an upgrade is ignored, but the parser takes what follows such a head for the other protocol
            raise FramingFault(400, "An upgrade cannot be asked for together with a body.")

    def _check_expect(self, expect: bytes) -> None:
        if expect.lower() != b"100-continue":
            raise FramingFault(417, "The only expectation that can be met is 100-continue.")
        self.expects_continue = self.version == "1.1" and self.has_body

    @property
    def has_body(self) -> bool:
        """Does a body follow the head?"""
        return self.chunked or self.length > 0


def _fields(headers: Sequence[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """The first header of each name; 400 for a second one where two would be ambiguous."""
    fields = dict(headers)
    if len(fields) == len(headers):
        return fields
    for name in _SINGLE & fields.keys():
        if sum(one == name for one, _ in headers) > 1:
            raise FramingFault(400, f"There are two {name.decode('ascii')} headers.")
    return dict(reversed(headers))


def render_fault(fault: FramingFault, *, request_id: str, date: bytes) -> bytes:
    """The whole answer to a request that was refused at the front; `date` is the line of the Date header."""
    body = msgspec.json.encode({"type": URN + "malformed", "detail": fault.message, "status": fault.status})
    phrase = HTTPStatus(fault.status).phrase.encode("ascii")
    lines = (
        b"HTTP/1.1 %d %b" % (fault.status, phrase),
        date.removesuffix(b"\r\n"),
        b"x-request-id: " + request_id.encode("ascii"),
        b"content-type: " + PROBLEM_JSON,
        b"content-length: %d" % len(body),
        *((_ALLOW,) if fault.status == 405 else ()),
        b"connection: close",
        b"",
        body,
    )
    return b"\r\n".join(lines)


def _too_large(limits: FrontLimits) -> FramingFault:
    return FramingFault(413, f"The body is above {limits.body} octets.")
