"""http-01 (RFC 8555 8.3): fetch one small file over plain HTTP and compare.

Rules: port and path are fixed; at most 512 octets of body are read, nothing is decompressed, all in ten seconds;
redirects are few, to ports 80 and 443 only, and every hop goes through `reach` and waits for a turn at its own
address; no byte that was fetched is ever shown.
"""

from __future__ import annotations

import asyncio
import hmac
import re
import ssl
import time
from dataclasses import dataclass
from ipaddress import ip_address

from dayfly.adapters.validators.hops import Step, is_recorded
from dayfly.adapters.validators.hops import hop as note
from dayfly.adapters.validators.reach import Connected, Reach
from dayfly.adapters.validators.wire import Wire
from dayfly.core.identifiers import Identifier, IdentifierType, parse_dns, parse_ip
from dayfly.core.problems import Connection, IncorrectResponse, Refused, Unauthorized
from dayfly.ports.validation import Location, Validated, ValidationFailed, ValidationTarget, ValidatorSpec

TOTAL_TIMEOUT = 10.0  # seconds, redirects included; the time in which a hop waits for its turn is none of it
MAX_BODY = 512
MAX_HEAD = 16 * 1024
MAX_HEADERS = 100
MAX_INTERIM = 4  # answers that only say that another one comes, as 100 Continue or 103 Early Hints (RFC 9110 15.2)
MAX_REDIRECTS = 5
MAX_URL = 2_000
REDIRECTS = frozenset({301, 302, 307, 308})
PATH = "/.well-known/acme-challenge/"
USER_AGENT = "dayfly-validator (RFC 8555 http-01)"

_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})(?: [^\r\n]*)?")
_LOCATION = re.compile(
    r"(?:(?P<scheme>https?)://(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::(?P<port>[0-9]{1,5}))?)?"
    r"(?P<path>/[!\"$-~]*)?"  # visible ASCII but "#": a fragment is never sent
)
_LENGTH = re.compile(rb"[0-9]{1,19}")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})(?:;[^\r\n]{0,100})?\r\n")


@dataclass(frozen=True, slots=True)
class _Hop:
    identifier: Identifier
    port: int
    path: str
    secure: bool


@dataclass(frozen=True, slots=True)
class _Onward(Location):
    """Where a redirect leads: what to ask for there, what was asked for before it, and the seconds that took."""

    hop: _Hop | None = None
    seen: frozenset[_Hop] = frozenset()
    spent: float = 0.0


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: dict[bytes, bytes]
    body: bytes


class Http01:
    """The validator for http-01; `port` is 80 but in a laboratory."""

    spec = ValidatorSpec("http-01", frozenset({IdentifierType.DNS, IdentifierType.IP}), wildcards=False)

    def __init__(self, reach: Reach, *, port: int = 80, tls_port: int = 443) -> None:
        """`reach` is the only way out."""
        self._reach = reach
        self._port = port
        self._tls_port = tls_port

    async def locate(self, target: ValidationTarget) -> Location:
        """The addresses behind the name; ValidationFailed."""
        return await self._reach.locate(target.identifier, self._port)

    async def validate(self, target: ValidationTarget, location: Location) -> Validated | Location:
        """Fetch once and compare, or say where a redirect leads; ValidationFailed."""
        first = _Hop(target.identifier, self._port, PATH + target.token, secure=False)
        here = location if isinstance(location, _Onward) else _Onward(location.addresses, hop=first)
        began = time.monotonic()
        try:
            async with asyncio.timeout(TOTAL_TIMEOUT - here.spent):
                return await self._step(target, here, here.hop or first, began=began)
        except TimeoutError:
            problem = Connection(f"{target.identifier.value} did not answer in full within {TOTAL_TIMEOUT:.0f} s")
            raise ValidationFailed(problem, transient=True) from None

    async def _step(self, target: ValidationTarget, here: _Onward, hop: _Hop, *, began: float) -> Validated | Location:
        connected = await self._reach.dial(here, hop.port)
        answer = await _fetch(connected, hop)
        if is_recorded():
            note(Step.ANSWER, connected.address, f"status {answer.status}, {len(answer.body)} octets of body")
        if answer.status not in REDIRECTS:
            _compare(answer, target, connected.address)
            return Validated(connected.address)
        following, seen = self._next_hop(hop, answer, target.identifier), here.seen | {hop}
        if following in seen:
            raise _final(Connection("the redirects form a loop"))
        if len(seen) > MAX_REDIRECTS:
            raise _final(Connection(f"more than {MAX_REDIRECTS} redirects"))
        note(Step.ANSWER, connected.address, f"it redirects to {_url(following)}")
        found = await self._reach.locate(following.identifier, following.port)
        return _Onward(found.addresses, following, seen, here.spent + time.monotonic() - began)

    def _next_hop(self, hop: _Hop, answer: _Answer, asked: Identifier) -> _Hop:
        """Where a redirect leads; a strict grammar, and nothing but web ports."""
        location = _location(answer)
        match = _LOCATION.fullmatch(location)
        if match is None:
            raise _final(Connection("a redirect's Location is not a plain http or https URL without user or fragment"))
        if match["host"] is None:
            if match["path"] is None:
                raise _final(Connection("a redirect has an empty Location"))
            return _Hop(hop.identifier, hop.port, match["path"], hop.secure)
        secure = match["scheme"] == "https"
        default = self._tls_port if secure else self._port
        port = int(match["port"]) if match["port"] else default
        if port not in {80, 443, self._port, self._tls_port}:
            raise _final(Connection(f"a redirect leads to port {port}; only 80 and 443 are followed"))
        return _Hop(_redirect_host(match["host"], asked), port, match["path"] or "/", secure)


def _url(hop: _Hop) -> str:
    return f"{'https' if hop.secure else 'http'}://{hop.identifier.value}:{hop.port}{hop.path}"


def _final(problem: Refused) -> ValidationFailed:
    return ValidationFailed(problem, transient=False)


def _location(answer: _Answer) -> str:
    raw = answer.headers.get(b"location", b"")
    if len(raw) > MAX_URL:
        raise _final(Connection(f"a redirect's Location is longer than {MAX_URL} octets"))
    try:
        return raw.decode("ascii")
    except UnicodeDecodeError:
        raise _final(Connection("a redirect's Location is not ASCII")) from None


def _redirect_host(text: str, asked: Identifier) -> Identifier:
    """The host of a redirect; an address only if the identifier is one."""
    bare = text.strip("[]")
    if bare.endswith(".well-known"):
        raise _final(Connection("a redirect lost the slash between its host and its path"))
    try:
        ip_address(bare)
    except ValueError:
        is_address = False
    else:
        is_address = True
    if is_address and asked.type is not IdentifierType.IP:
        raise _final(Connection("a redirect leads to an IP address, and the identifier is a name"))
    try:
        return parse_ip(bare) if is_address else parse_dns(bare, wildcard=False)
    except Refused as error:
        raise _final(Connection("a redirect leads to a host that is no valid name")) from error


async def _fetch(connected: Connected, hop: _Hop) -> _Answer:
    """One request over one connection, which is closed whatever happens."""
    wire = connected.wire
    try:
        if hop.secure:
            await wire.start_tls(_unverified_context(), server_hostname=_server_name(hop.identifier))
        wire.transport.write(_request(hop))
        return await _read_answer(wire)
    except ValidationFailed:
        raise
    except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError) as error:
        what = "the TLS handshake failed" if isinstance(error, ssl.SSLError) else "the connection broke"
        problem = Connection(f"{connected.address}: {what} before the answer was complete")
        raise ValidationFailed(problem, transient=True) from None
    except (asyncio.LimitOverrunError, ValueError):
        raise _final(Connection(f"{connected.address}: the answer is not HTTP/1.1 within the limits")) from None
    finally:
        wire.transport.abort()


def _unverified_context() -> ssl.SSLContext:
    """A context for https redirects: the certificate is what is being asked for, so it cannot be demanded (8.3)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _server_name(identifier: Identifier) -> str | None:
    return identifier.value if identifier.type is IdentifierType.DNS else None


def _request(hop: _Hop) -> bytes:
    host = f"[{hop.identifier.value}]" if ":" in hop.identifier.value else hop.identifier.value
    port = "" if hop.port == (443 if hop.secure else 80) else f":{hop.port}"
    return (
        f"GET {hop.path} HTTP/1.1\r\nHost: {host}{port}\r\nUser-Agent: {USER_AGENT}\r\n"
        "Accept: */*\r\nConnection: close\r\n\r\n"
    ).encode("ascii")


async def _read_answer(wire: Wire) -> _Answer:
    """The answer; those before it that say nothing but that it comes are passed over."""
    for _ in range(MAX_INTERIM):
        answer = await _read_one_answer(wire)
        if not 100 <= answer.status < 200:
            return answer
    raise ValueError("too many interim answers")


async def _read_one_answer(wire: Wire) -> _Answer:
    head = await wire.until(b"\r\n\r\n")
    if len(head) > MAX_HEAD:
        raise ValueError("head too long")
    status_line, *lines = head[:-4].split(b"\r\n")
    match = _STATUS.fullmatch(status_line)
    if match is None or len(lines) > MAX_HEADERS:
        raise ValueError("status line or header count")
    headers: dict[bytes, bytes] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon:
            raise ValueError("header without colon")
        headers.setdefault(name.lower(), value.strip(b" \t"))
    status = int(match[1])
    body = b"" if status in REDIRECTS or 100 <= status < 200 else await _read_body(wire, headers)
    return _Answer(status, headers, body)


async def _read_body(wire: Wire, headers: dict[bytes, bytes]) -> bytes:
    """At most one octet more than the limit, so that a longer body is known to be longer."""
    if headers.get(b"transfer-encoding", b"").lower() == b"chunked":
        return await _read_chunks(wire)
    wanted = MAX_BODY + 1
    length = headers.get(b"content-length")
    if length is not None:
        if _LENGTH.fullmatch(length) is None:
            raise ValueError("content length")
        wanted = min(wanted, int(length))
        return await wire.exactly(wanted)
    body = b""
    while len(body) < wanted and (more := await wire.some(wanted - len(body))):
        body += more
    return body


async def _read_chunks(wire: Wire) -> bytes:
    body = b""
    while len(body) <= MAX_BODY:
        match = _CHUNK.fullmatch(await wire.until(b"\r\n"))
        if match is None:
            raise ValueError("chunk size")
        size = int(match[1], 16)
        if size == 0:
            break
        body += await wire.exactly(min(size, MAX_BODY + 1 - len(body)))
        if len(body) <= MAX_BODY:
            await wire.exactly(2)
    return body


def _compare(answer: _Answer, target: ValidationTarget, address: str) -> None:
    """Status 200 and the key authorization, trailing white space forgiven (RFC 8555 8.3)."""
    where = f"{address}, {PATH}{target.token}"
    if answer.status != 200:
        raise _final(IncorrectResponse(f"{where}: status {answer.status}, expected 200"))
    if len(answer.body) > MAX_BODY:
        raise _final(IncorrectResponse(f"{where}: the body is longer than {MAX_BODY} octets"))
    if not hmac.compare_digest(answer.body.rstrip(b" \t\r\n"), target.key_authorization.encode()):
        detail = f"{where}: the body ({len(answer.body)} octets) is not this account's key authorization"
        raise _final(Unauthorized(detail))
