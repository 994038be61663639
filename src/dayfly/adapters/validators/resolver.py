"""How names are looked up: by the servers of `[validation] resolver`, else in the host's own way.

Rules: without a resolver of ours, addresses come from the host's files and `getaddrinfo`, and TXT records from the
servers of resolv.conf; a name is looked up as it is, never with the host's search domains behind it, where it would be
somebody else's; IPv6 comes first; a look-up that hangs holds up no other work and no shutdown.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import dns.rdtypes.ANY.CAA
import dns.rdtypes.ANY.TXT
import dns.rdtypes.IN.A
import dns.rdtypes.IN.AAAA
from dns.rdatatype import AAAA, CAA, TXT, A, RdataType

from dayfly.adapters.validators.dnsclient import DNSClient, NameServer, dns_failure
from dayfly.adapters.validators.hops import Step, hop, is_recorded
from dayfly.core.acme.caa import CaaRecord
from dayfly.core.policy.addresses import IPAddress
from dayfly.ports.validation import ValidationFailed

RESOLV_CONF = Path("/etc/resolv.conf")
HOSTS = Path("/etc/hosts")
RESOLVE_TIMEOUT = 5.0  # seconds, for the host's own resolver
MAX_THREADS = 128  # that wait for the host's resolver; above the cap of validations, since one may outlive its wait
MAX_SERVERS = 3  # of resolv.conf, as the C library takes them

_ADDRESS = (dns.rdtypes.IN.A.A, dns.rdtypes.IN.AAAA.AAAA)


@dataclass(frozen=True, slots=True)
class Texts:
    """The TXT values of a name, each with its strings joined (RFC 8555 8.4), the server, and the seconds they hold."""

    values: tuple[bytes, ...]
    server: str
    ttl: int = 0


class Resolver:
    """Looks up addresses and TXT records."""

    def __init__(
        self, servers: Sequence[NameServer] = (), *, resolv_conf: Path = RESOLV_CONF, hosts: Path = HOSTS
    ) -> None:
        """`servers` are those of the settings; without any, the host's way counts."""
        self._asks_servers = bool(servers)
        self._hosts = hosts
        self._threads = 0
        chosen = tuple(servers)
        self._client = DNSClient((lambda: chosen) if chosen else (lambda: _servers_of(resolv_conf)))

    async def addresses(self, name: str) -> tuple[IPAddress, ...]:
        """The name's addresses, at least one, IPv6 first; ValidationFailed with a `dns` problem."""
        found = await (self._ask(name) if self._asks_servers else self._host_addresses(name))
        unique = dict.fromkeys(ip_address(text.partition("%")[0]) for text in found)
        addresses = tuple(sorted(unique, key=lambda address: -address.version))
        if is_recorded():
            hop(Step.LOOK_UP, f"addresses of {name}", ", ".join(map(str, addresses)) or "none", passed=bool(addresses))
        return addresses

    async def texts(self, name: str) -> Texts:
        """The name's TXT values, at least one; ValidationFailed with a `dns` problem."""
        records = await self._client.look_up(name, TXT)
        found = (one for one in records.found if isinstance(one, dns.rdtypes.ANY.TXT.TXT))
        return Texts(tuple(b"".join(one.strings) for one in found), str(records.server), records.ttl)

    async def caa(self, name: str) -> tuple[CaaRecord, ...]:
        """The CAA records at this very name or where its aliases lead, none where there are none; ValidationFailed."""
        records = await self._client.look_up_if_any(name, CAA)
        found = (one for one in records.found if isinstance(one, dns.rdtypes.ANY.CAA.CAA)) if records else ()
        return tuple(CaaRecord(one.flags, one.tag.decode("ascii", "replace").lower(), one.value) for one in found)

    async def _ask(self, name: str) -> list[str]:
        """AAAA and A at once; a failure counts only when both fail, since what is dialled is what was found."""
        six, four = await asyncio.gather(self._ask_for(name, AAAA), self._ask_for(name, A))
        if isinstance(six, ValidationFailed) and isinstance(four, ValidationFailed):
            raise four
        return [text for found in (six, four) if isinstance(found, list) for text in found]

    async def _ask_for(self, name: str, kind: RdataType) -> list[str] | ValidationFailed:
        try:
            records = await self._client.look_up(name, kind)
        except ValidationFailed as failure:
            return failure
        return [str(one.address) for one in records.found if isinstance(one, _ADDRESS)]

    async def _host_addresses(self, name: str) -> list[str]:
        listed = parse_hosts(_read(self._hosts), name)
        if listed:
            hop(Step.LOOK_UP, name, f"it stands in {self._hosts}")
            return listed
        hop(Step.LOOK_UP, name, "asking the host's own resolver")
        asked = f"the address of {name}"
        if self._threads >= MAX_THREADS:
            raise dns_failure(asked, "too many look-ups wait for the host's resolver")
        try:
            async with asyncio.timeout(RESOLVE_TIMEOUT):
                return await self._in_a_thread(name)
        except socket.gaierror as error:
            what = "no address was found" if error.errno == socket.EAI_NONAME else "the host's resolver failed"
            raise dns_failure(asked, what) from None
        except OSError as error:
            what = f"no answer within {RESOLVE_TIMEOUT:.0f} s" if isinstance(error, TimeoutError) else "it failed"
            raise dns_failure(asked, what) from None

    async def _in_a_thread(self, name: str) -> list[str]:
        """`getaddrinfo` in a daemon thread: at exit executors are waited for, and so would be a look-up that hangs."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[str]] = loop.create_future()

        def settle(found: list[str], error: OSError | None) -> None:
            self._threads -= 1
            if answer.done():
                return
            if error is None:
                answer.set_result(found)
            else:
                answer.set_exception(error)

        def work() -> None:
            found: list[str] = []
            failure: OSError | None = None
            try:
                absolute = f"{name}.".encode("ascii")  # the full stop keeps search domains out
                entries = socket.getaddrinfo(absolute, None, type=socket.SOCK_STREAM)
                found = [str(entry[4][0]) for entry in entries]
            except OSError as error:
                failure = error
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(settle, found, failure)

        self._threads += 1
        threading.Thread(target=work, name="getaddrinfo", daemon=True).start()
        return await answer


def _servers_of(path: Path) -> tuple[NameServer, ...]:
    """The servers of resolv.conf as it is now; the host itself where it names none (resolv.conf(5))."""
    return parse_resolv_conf(_read(path))


def _read(path: Path) -> str:
    """The file as it is now, nothing where it cannot be read."""
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""


def parse_hosts(text: str, name: str) -> list[str]:
    """The addresses of a name in a hosts file (hosts(5)); names there have no case."""
    lines = (line.partition("#")[0].lower().split() for line in text.splitlines())
    return [words[0] for words in lines if name in words[1:] and _is_address(words[:1])]


def parse_resolv_conf(text: str) -> tuple[NameServer, ...]:
    """The first three `nameserver` lines; what is no address is passed over."""
    lines = (line.split() for line in text.splitlines())
    servers = [NameServer(words[1]) for words in lines if words[:1] == ["nameserver"] and _is_address(words[1:2])]
    return tuple(servers[:MAX_SERVERS]) or (NameServer("127.0.0.1"),)


def _is_address(words: list[str]) -> bool:
    try:
        ip_address("".join(words))
    except ValueError:
        return False
    return True
