"""What a handler is given and what it gives back.

Rules: values are immutable; header names are lower-case bytes; nothing here is derived from Host or X-Forwarded-*;
names and values of an answer's headers hold no octet that could end a line.

`Request` and `Response` are msgspec structs, not dataclasses: one of each is made per request, and a frozen struct of
ten fields takes 0.08 us to make where a frozen dataclass takes 0.93.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec

JSON = b"application/json"
PROBLEM_JSON = b"application/problem+json"

Header = tuple[bytes, bytes]

# Lines of a header: a value has no control character but the tab (RFC 9110 5.5).
_LINES = re.compile(rb"(?:[a-z0-9-]+: [^\x00-\x08\x0a-\x1f\x7f]*\r\n)*")


def render_headers(headers: Sequence[Header]) -> bytes:
    """The lines of these headers; ValueError for a name or a value that could end one."""
    lines = b"".join([b"%b: %b\r\n" % header for header in headers])
    if _LINES.fullmatch(lines) is None or lines.count(b"\n") != len(headers):
        raise ValueError(f"a header's name or value is none: {headers!r}")
    return lines


class Dialect(StrEnum):
    """In which shape a route tells its refusals."""

    ACME = "acme"
    STEP = "step"


class Request(msgspec.Struct, frozen=True):
    """One whole request, its caps checked by the front.

    `path` is canonical ASCII, the same characters as on the wire; `params` are the path's named segments; `query` is
    what stands behind the `?`, undecoded; `fields` are the headers, the first of each lower-case name; `peer` is the
    address (IPv4-mapped ones unwrapped) and the port; `peer_certificate` is the DER of a client certificate that the
    handshake verified.
    """

    method: str
    path: str
    params: dict[str, str]
    query: bytes
    fields: Mapping[bytes, bytes]
    body: bytes
    peer: tuple[str, int]
    peer_certificate: bytes | None
    request_id: str

    def header(self, name: bytes) -> bytes | None:
        """The first value of the header with this lower-case name, or None."""
        return self.fields.get(name)

    @property
    def host(self) -> str:
        """The Host header in lower case, "" if there is none; to be compared with configured names, never reflected."""
        return (self.header(b"host") or b"").decode("ascii", "replace").lower()


class Response(msgspec.Struct, frozen=True):
    """An answer; `headers` come in addition to Content-Type, Content-Length and X-Request-Id.

    `problem_type` is the bare error type of a refusal, or its reason where it has one; for the observers, not sent.
    """

    status: int = 200
    body: bytes = b""
    headers: tuple[Header, ...] = ()
    media_type: bytes = JSON
    problem_type: str | None = None


class Answer(msgspec.Struct, frozen=True):
    """An answer as it leaves: header lines, without those that the connection adds (Date, Connection), and the body."""

    status: int
    lines: bytes
    body: bytes


Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Route:
    """One line of the routing table.

    `pattern` is a path whose segments are literal or `{name}`; a GET route answers HEAD too, unless HEAD has a line of
    its own; `name` is what observers hear, the pattern if empty; `headers` gives the header lines that every answer of
    the route carries, refused ones too (a fresh nonce, CORS), and must not raise.
    """

    method: str
    pattern: str
    handler: Handler
    dialect: Dialect = Dialect.ACME
    name: str = ""
    headers: Callable[[Request], bytes] | None = None

    @property
    def label(self) -> str:
        """The name that observers hear."""
        return self.name or self.pattern
