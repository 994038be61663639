"""DNS queries over sockets of our own; dnspython only makes and reads the messages (RFC 1035, 7766).

Rules: a query has a random id and a random port, and a reply that is not from its server, with its id and its
question, is junk and skipped; a truncated reply is asked for again over TCP; every exchange is bounded in time and
size; a record counts only under the name and the type that were asked for, so each alias is asked for anew; no text
of a reply is ever shown.
"""

from __future__ import annotations

import asyncio
import secrets
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
from dns.rdata import Rdata
from dns.rdataclass import IN
from dns.rdatatype import CNAME, RdataType

from dayfly.adapters.validators.hops import Step, hop, is_recorded
from dayfly.core.problems import Dns
from dayfly.ports.validation import ValidationFailed

EXCHANGE_TIMEOUT = 2.0  # seconds, for one server over one transport
LOOKUP_TIMEOUT = 8.0  # seconds, aliases included
ROUNDS = 2  # a datagram may be lost; only servers that stayed silent are asked again
MAX_ALIASES = 8
MAX_TTL = 2**31 - 1  # seconds, RFC 2181 8
MAX_DATAGRAM = 1_500  # octets; a reply over UDP has 512 at most (RFC 1035 4.2.1), but some servers send more
MAX_MESSAGE = 8_192  # octets, over TCP: a hundred values take 6,000. DNS itself ends at 65,535
MAX_RECORDS = 256  # of all sections
# Reading takes 0.1 ms for one record, but one of 63,000 empty strings takes 400 ms: hence the limits on size, and a
# thread for what comes over TCP. It is one thread, so that many such answers at once wait for each other and not the
# loop for all of them; a reading that nobody waits for any more is not begun.
_READER = ThreadPoolExecutor(1, thread_name_prefix="dns-reader")

_HEADER = struct.Struct("!HHHHHH")  # id, flags, and the number of records in each section (RFC 1035 4.1.1)


@dataclass(frozen=True, slots=True)
class NameServer:
    """A name server's IP address, with a zone where it is link-local, and its port."""

    host: str
    port: int = 53

    def __str__(self) -> str:
        """The server as it is written, an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Records:
    """The records of one type, the server that gave them, and for how many seconds they hold, aliases included."""

    found: tuple[Rdata, ...]
    server: NameServer
    ttl: int


class _Unusable(Exception):
    """A server gave no answer that can be used; the text is for the client."""


class _Nothing(_Unusable):
    """The servers say that there is no such name, or no such record at it."""


def dns_failure(asked: str, what: str) -> ValidationFailed:
    """A look-up that failed and may be tried again."""
    return ValidationFailed(Dns(f"looking up {asked}: {what}"), transient=True)


class DNSClient:
    """Asks name servers, which are named anew for each look-up."""

    def __init__(self, servers: Callable[[], tuple[NameServer, ...]]) -> None:
        """`servers` gives them in the order in which they are asked."""
        self._servers = servers

    async def look_up(self, name: str, kind: RdataType) -> Records:
        """The records of this type, there or where aliases lead; at least one.

        ValidationFailed with a `dns` problem: transient, but for a name that is too long to be asked for.
        """
        try:
            return await self._look_up(name, kind)
        except _Nothing as nothing:
            raise dns_failure(f"{kind.name} of {name}", str(nothing)) from None

    async def look_up_if_any(self, name: str, kind: RdataType) -> Records | None:
        """The same; None where the servers say that there is none. ValidationFailed where they say nothing."""
        try:
            return await self._look_up(name, kind)
        except _Nothing:
            return None

    async def _look_up(self, name: str, kind: RdataType) -> Records:
        """The records; _Nothing, or ValidationFailed."""
        asked = f"{kind.name} of {name}"
        try:
            owner = dns.name.from_text(name)
        except dns.exception.DNSException:
            problem = Dns(f"looking up {asked}: the name is longer than DNS allows")
            raise ValidationFailed(problem, transient=False) from None
        try:
            async with asyncio.timeout(LOOKUP_TIMEOUT):
                return await self._follow(owner, kind)
        except _Nothing:
            raise
        except _Unusable as error:
            raise dns_failure(asked, str(error)) from None
        except TimeoutError:
            raise dns_failure(asked, f"no answer within {LOOKUP_TIMEOUT:.0f} s") from None

    async def _follow(self, owner: dns.name.Name, kind: RdataType) -> Records:
        """The records at the end of the aliases; a loop of them, or too many, is _Unusable."""
        seen, ttl = {owner}, MAX_TTL
        for _ in range(MAX_ALIASES + 1):
            reply, server = await self._ask(owner, kind)
            records = reply.get_rrset(reply.answer, owner, IN, kind)
            if records:
                return Records(tuple(records), server, min(ttl, records.ttl))
            alias = reply.get_rrset(reply.answer, owner, IN, CNAME)
            if not alias:
                raise _Nothing(_nothing(reply.rcode(), aliases=len(seen) - 1))
            owner, ttl = alias[0].target, min(ttl, alias.ttl)
            if owner in seen:
                raise _Unusable("the aliases (CNAME) form a loop")
            seen.add(owner)
        raise _Unusable(f"more than {MAX_ALIASES} aliases (CNAME)")

    async def _ask(self, owner: dns.name.Name, kind: RdataType) -> tuple[dns.message.Message, NameServer]:
        """The first answer that says what is there, or that nothing is; _Unusable with the last failure."""
        query = dns.message.make_query(owner, kind, id=secrets.randbelow(1 << 16))
        waiting, failure = list(self._servers()), "no name server is known"
        for _ in range(ROUNDS):
            silent = []
            for server in waiting:
                try:
                    reply = await _exchange(server, query)
                except TimeoutError:
                    silent.append(server)
                    failure = "no name server answered in time"
                except (_Unusable, OSError) as error:
                    failure = str(error) if isinstance(error, _Unusable) else "the name server cannot be reached"
                else:
                    if reply.rcode() in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
                        _note(owner, kind, server, reply)
                        return reply, server
                    failure = f"the name server answered {dns.rcode.to_text(reply.rcode())}"
                hop(Step.LOOK_UP, f"{kind.name} of {_shown(owner)}", f"{server}: {failure}", passed=False)
            waiting = silent
        raise _Unusable(failure)


def _shown(owner: dns.name.Name) -> str:
    return owner.to_text(omit_final_dot=True)


def _note(owner: dns.name.Name, kind: RdataType, server: NameServer, reply: dns.message.Message) -> None:
    """What a server said, for the hop record: the text of no record, but how many there are."""
    if not is_recorded():
        return
    outcome = f"{server}: {dns.rcode.to_text(reply.rcode())}, {sum(len(one) for one in reply.answer)} records"
    hop(Step.LOOK_UP, f"{kind.name} of {_shown(owner)}", outcome)


def _nothing(rcode: dns.rcode.Rcode, *, aliases: int) -> str:
    what = "there is no such name (NXDOMAIN)" if rcode == dns.rcode.NXDOMAIN else "the name has no such record"
    return f"{what}, after {aliases} aliases (CNAME)" if aliases else what


async def _exchange(server: NameServer, query: dns.message.Message) -> dns.message.Message:
    """One server's reply, over UDP and, where that is cut short, over TCP; TimeoutError, OSError or _Unusable."""
    async with asyncio.timeout(EXCHANGE_TIMEOUT):
        reply = await _over_udp(server, query)
    if not reply.flags & dns.flags.TC:
        return reply
    async with asyncio.timeout(EXCHANGE_TIMEOUT):
        return await _over_tcp(server, query)


class _Datagrams(asyncio.DatagramProtocol):
    """Waits for the one datagram that answers the query."""

    def __init__(self, query: dns.message.Message) -> None:
        """The socket is connected, so the kernel drops what others send."""
        self._query = query
        self.answer: asyncio.Future[dns.message.Message] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: object) -> None:
        """Take it, if it is the answer."""
        del addr
        reply = read_reply(data, self._query) if len(data) <= MAX_DATAGRAM else None
        if reply is not None and not self.answer.done():
            self.answer.set_result(reply)

    def error_received(self, exc: Exception) -> None:
        """Nobody listens there."""
        if not self.answer.done():
            self.answer.set_exception(exc)


async def _over_udp(server: NameServer, query: dns.message.Message) -> dns.message.Message:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(
        lambda: _Datagrams(query), remote_addr=(server.host, server.port)
    )
    try:
        transport.sendto(query.to_wire())
        return await protocol.answer
    finally:
        transport.abort()


async def _over_tcp(server: NameServer, query: dns.message.Message) -> dns.message.Message:
    reader, writer = await asyncio.open_connection(server.host, server.port)
    try:
        wire = query.to_wire()
        writer.write(len(wire).to_bytes(2) + wire)
        size = int.from_bytes(await reader.readexactly(2))
        if size > MAX_MESSAGE:
            raise _Unusable(f"the answer has more than {MAX_MESSAGE} octets")
        data = await reader.readexactly(size)
    except asyncio.IncompleteReadError:
        raise _Unusable("the name server closed the connection before its answer was complete") from None
    finally:
        writer.transport.abort()
    reply = await asyncio.get_running_loop().run_in_executor(_READER, read_reply, data, query)
    if reply is None:
        raise _Unusable("the name server's answer over TCP is none to the question, or too long")
    return reply


def read_reply(data: bytes, query: dns.message.Message) -> dns.message.Message | None:
    """The message, if it answers the query and can be read; of a truncated one the header and the question only."""
    if len(data) < _HEADER.size:
        return None
    number, flags, *counts = _HEADER.unpack_from(data)
    if number != query.id or sum(counts) > MAX_RECORDS:
        return None
    try:
        reply = dns.message.from_wire(data, question_only=bool(flags & dns.flags.TC))
    except (dns.exception.DNSException, ValueError):
        return None
    return reply if query.is_response(reply) else None
