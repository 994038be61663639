"""How validators get to a name: resolve once, judge every address, dial exactly the judged one.

Rules: one denied address refuses the name; IPv6 first, IPv4 only after a dial error; the CA's own listeners are never
dialled; no proxy variable is read; what an operator must change stands in the failure's note, never in the client's
text.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from dayfly.core.identifiers import Identifier, IdentifierType
from dayfly.core.policy.addresses import IPAddress, Network, judge
from dayfly.core.problems import Connection, Dns
from dayfly.ports import ValidationFailed

DIAL_TIMEOUT = 5.0  # seconds, for one address
RESOLVE_TIMEOUT = 5.0  # seconds
MAX_ADDRESSES = 16  # of one name; more are not tried, and not needed


class Resolver:
    """Looks names up in the system's way (`getaddrinfo`: the host's own files count)."""

    async def addresses(self, name: str) -> tuple[IPAddress, ...]:
        """The name's addresses, IPv6 first; ValidationFailed with a `dns` problem, transient."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(RESOLVE_TIMEOUT):
                found = await loop.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            raise _dns_failure(
                name, "no address was found" if error.errno == socket.EAI_NONAME else "it failed"
            ) from None
        except TimeoutError:
            raise _dns_failure(name, f"no answer within {RESOLVE_TIMEOUT:.0f} s") from None
        addresses = dict.fromkeys(ip_address(str(entry[4][0]).partition("%")[0]) for entry in found)
        return tuple(sorted(addresses, key=lambda address: -address.version))


def _dns_failure(name: str, what: str) -> ValidationFailed:
    return ValidationFailed(Dns(f"looking up the address of {name}: {what}"), transient=True)


@dataclass(frozen=True, slots=True)
class Connected:
    """A connection, and the address and port that were dialled."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    address: str


class Reach:
    """The one way out of the CA."""

    def __init__(
        self,
        *,
        resolver: Resolver,
        hosts: Mapping[str, str],
        allow: tuple[Network, ...],
        own_listeners: frozenset[tuple[IPAddress, int]],
        own_ports: frozenset[int],
    ) -> None:
        """`hosts` are static names; `own_listeners` never dialled; `own_ports` are those bound on every address."""
        self._resolver = resolver
        self._hosts = {name: ip_address(address) for name, address in hosts.items()}
        self._allow = allow
        self._own_listeners = own_listeners
        self._own_ports = own_ports
        self._own_addresses = _local_addresses() if own_ports else frozenset()

    async def connect(self, identifier: Identifier, port: int) -> Connected:
        """A TCP connection to the identifier's host; ValidationFailed.

        1. Resolve, or take the address itself.
        2. Judge every address: one that may not be dialled refuses the name.
        3. Dial them in order until one answers.
        """
        addresses = await self._resolve(identifier)
        for address in addresses:
            self._check(identifier, address, port)
        failure: ValidationFailed | None = None
        for address in addresses:
            try:
                return await _dial(address, port)
            except ValidationFailed as error:
                failure = error
        raise failure or _dns_failure(identifier.value, "no address was found")

    async def _resolve(self, identifier: Identifier) -> tuple[IPAddress, ...]:
        if identifier.type is IdentifierType.IP:
            return (ip_address(identifier.value),)
        static = self._hosts.get(identifier.value)
        if static is not None:
            return (static,)
        return (await self._resolver.addresses(identifier.value))[:MAX_ADDRESSES]

    def _check(self, identifier: Identifier, address: IPAddress, port: int) -> None:
        if self._is_own(address, port):
            problem = Connection(f"{identifier.value} leads to a listener of the CA itself, which is never dialled")
            raise ValidationFailed(
                problem, transient=False, operator_note=f"refused {address} port {port}: own listener"
            )
        verdict = judge(address, allow=self._allow)
        if not verdict.allowed:
            raise ValidationFailed(
                Connection(f"{identifier.value} has an address that this CA may not dial: {verdict.reason}"),
                transient=False,
                operator_note=_note(address, verdict.opens_with),
            )

    def _is_own(self, address: IPv4Address | IPv6Address, port: int) -> bool:
        if (address, port) in self._own_listeners:
            return True
        return port in self._own_ports and (address.is_loopback or address in self._own_addresses)


def _note(address: IPAddress, opens_with: str) -> str:
    if not opens_with:
        return f"refused {address}: no setting opens it"
    return f'refused {address}; to open its network: [validation] allow = ["{opens_with}"] in ca.toml'


def _local_addresses() -> frozenset[IPAddress]:
    """The addresses of this host's own name: with a listener on every address, they are the CA too."""
    try:
        found = socket.getaddrinfo(socket.gethostname(), None, type=socket.SOCK_STREAM)
    except socket.gaierror:
        return frozenset()
    return frozenset(ip_address(str(entry[4][0]).partition("%")[0]) for entry in found)


async def _dial(address: IPAddress, port: int) -> Connected:
    try:
        async with asyncio.timeout(DIAL_TIMEOUT):
            reader, writer = await asyncio.open_connection(str(address), port, limit=32 * 1024)
    except TimeoutError:
        what = f"no connection to {address} port {port} within {DIAL_TIMEOUT:.0f} s"
        raise ValidationFailed(Connection(what), transient=True) from None
    except OSError as error:
        why = error.strerror or "it failed"
        raise ValidationFailed(
            Connection(f"connecting to {address} port {port}: {why[:100].lower()}"), transient=True
        ) from None
    return Connected(reader, writer, f"{address}:{port}" if address.version == 4 else f"[{address}]:{port}")
