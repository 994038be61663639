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
from ipaddress import ip_address

from dayfly.adapters.validators.dnsclient import dns_failure
from dayfly.adapters.validators.hops import Step, hop, is_recorded
from dayfly.adapters.validators.resolver import Resolver
from dayfly.adapters.validators.wire import Wire
from dayfly.core.identifiers import Identifier, IdentifierType
from dayfly.core.policy.addresses import IPAddress, Network, Verdict, judge, unwrap
from dayfly.core.problems import Connection
from dayfly.ports.validation import Location, ValidationFailed

DIAL_TIMEOUT = 5.0  # seconds, for one address
JUDGED = 4096  # addresses whose verdicts are kept
MAX_DIALLED = 16  # addresses of one name; all are judged, and more are not needed


@dataclass(frozen=True, slots=True)
class Connected:
    """A connection, and the address and port that were dialled."""

    wire: Wire
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
        self._verdicts: dict[IPAddress, Verdict] = {}
        self._own_listeners = own_listeners
        self._own_ports = own_ports

    async def locate(self, identifier: Identifier, port: int) -> Location:
        """The identifier's addresses, each judged: one that may not be dialled refuses all; ValidationFailed."""
        addresses = await self._resolve(identifier)
        if not addresses:
            raise dns_failure(f"the address of {identifier.value}", "no address was found")
        failures = [self._fault(identifier, address, port) for address in addresses]
        for failure in failures:
            if failure is not None:
                raise failure
        return Location(addresses[:MAX_DIALLED])

    async def dial(self, location: Location, port: int) -> Connected:
        """A connection to the first of the judged addresses that answers; ValidationFailed of the last that did not."""
        first, *others = location.addresses
        for address in others:
            try:
                return await _dial(first, port)
            except ValidationFailed:
                first = address
        return await _dial(first, port)

    async def _resolve(self, identifier: Identifier) -> tuple[IPAddress, ...]:
        if identifier.type is IdentifierType.IP:
            return (ip_address(identifier.value),)
        static = self._hosts.get(identifier.value)
        if static is not None:
            if is_recorded():
                hop(Step.LOOK_UP, f"addresses of {identifier.value}", f"{static}, by [validation] hosts in ca.toml")
            return (static,)
        return await self._resolver.addresses(identifier.value)

    def _fault(self, identifier: Identifier, address: IPAddress, port: int) -> ValidationFailed | None:
        """Why this address may not be dialled; None where it may."""
        if self._is_own(unwrap(address), port):
            hop(Step.JUDGE, _pair(address, port), "refused: it is a listener of the CA itself", passed=False)
            problem = Connection(f"{identifier.value} leads to a listener of the CA itself, which is never dialled")
            return ValidationFailed(
                problem, transient=False, operator_note=f"refused {address} port {port}: own listener"
            )
        verdict = self._judge(address)
        if is_recorded():
            outcome = f"{'allowed' if verdict.allowed else 'refused'}{f': {verdict.reason}' if verdict.reason else ''}"
            hop(Step.JUDGE, _pair(address, port), outcome, passed=verdict.allowed, opens_with=verdict.opens_with)
        if verdict.allowed:
            return None
        problem = Connection(f"{identifier.value} leads to an address that this CA may not dial: {verdict.reason}")
        return ValidationFailed(problem, transient=False, operator_note=_note(address, verdict.opens_with))

    def _judge(self, address: IPAddress) -> Verdict:
        """May it be dialled? What was judged lately is not judged again: networks do not change while this lives."""
        verdict = self._verdicts.get(address)
        if verdict is None:
            if len(self._verdicts) >= JUDGED:
                self._verdicts.clear()
            verdict = self._verdicts[address] = judge(address, allow=self._allow)
        return verdict

    def _is_own(self, address: IPAddress, port: int) -> bool:
        return (address, port) in self._own_listeners or (port in self._own_ports and _is_local(address))


def _note(address: IPAddress, opens_with: str) -> str:
    if not opens_with:
        return f"refused {address}: no setting opens it"
    return f'refused {address}; to open its network: [validation] allow = ["{opens_with}"] in ca.toml'


def _pair(address: IPAddress, port: int) -> str:
    return f"{address}:{port}" if address.version == 4 else f"[{address}]:{port}"


def _is_local(address: IPAddress) -> bool:
    """Is it an address of this host right now? The kernel lets nobody bind another's."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True


async def _dial(address: IPAddress, port: int) -> Connected:
    host = str(address)
    try:
        async with asyncio.timeout(DIAL_TIMEOUT):
            _, wire = await asyncio.get_running_loop().create_connection(Wire, host, port)
    except TimeoutError:
        what = f"no connection to {address} port {port} within {DIAL_TIMEOUT:.0f} s"
        hop(Step.DIAL, _pair(address, port), f"no answer within {DIAL_TIMEOUT:.0f} s", passed=False)
        raise ValidationFailed(Connection(what), transient=True) from None
    except OSError as error:
        why = error.strerror or "it failed"
        hop(Step.DIAL, _pair(address, port), why[:100].lower(), passed=False)
        raise ValidationFailed(
            Connection(f"connecting to {address} port {port}: {why[:100].lower()}"), transient=True
        ) from None
    hop(Step.DIAL, _pair(address, port), "connected")
    return Connected(wire, _pair(address, port))
