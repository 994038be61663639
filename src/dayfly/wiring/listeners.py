"""The sockets of a CA: bound here, and known to the validators as what is never dialled."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import ip_address

from dayfly.config.addresses import Address
from dayfly.config.values import Config
from dayfly.core.policy.addresses import IPAddress
from dayfly.errors import ConfigError


def bind(address: Address, key: str) -> socket.socket:
    """A listening socket, on IPv6 and IPv4 where no host is named; ConfigError says who may be in the way."""
    dual = not address.host and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if dual or ":" in address.host else socket.AF_INET
    try:
        return socket.create_server(
            (address.host, address.port), family=family, dualstack_ipv6=dual, backlog=1024, reuse_port=False
        )
    except PermissionError:
        hint = "use a port of 1024 or above, or grant CAP_NET_BIND_SERVICE"
        raise ConfigError(key, f"this user may not listen on {address}", hint=hint) from None
    except OSError as error:
        hint = f"see who has it: ss -ltnp 'sport = :{address.port}'; or change {key} in ca.toml"
        raise ConfigError(key, f"cannot listen on {address}: {error.strerror}", hint=hint) from None


@dataclass(frozen=True, slots=True)
class Listening:
    """The sockets of a CA; None for what is switched off."""

    api: socket.socket
    metrics: socket.socket | None
    crl: socket.socket | None

    def all(self) -> tuple[socket.socket, ...]:
        """Those that there are."""
        return tuple(one for one in (self.api, self.metrics, self.crl) if one is not None)


def bind_all(config: Config) -> Listening:
    """The CA's socket, that of the metrics and that of the CRLs; ConfigError, and then none is bound."""
    with ExitStack() as stack:

        def listen(address: Address | None, key: str) -> socket.socket | None:
            return None if address is None else stack.enter_context(bind(address, key))

        api = stack.enter_context(bind(config.address, "address"))
        metrics = listen(config.metrics, "metrics.address")
        crl = listen(None if config.crl is None else config.crl.address, "crl.address")
        stack.pop_all()
    return Listening(api, metrics, crl)


def own_listeners(config: Config) -> tuple[frozenset[tuple[IPAddress, int]], frozenset[int]]:
    """What the CA must never dial: (address, port) pairs, and the ports that it has on every address."""
    pairs: set[tuple[IPAddress, int]] = set()
    ports: set[int] = set()
    for address in (config.address, config.metrics, None if config.crl is None else config.crl.address):
        if address is None:
            continue
        if not address.host or ip_address(_numeric(address.host)).is_unspecified:
            ports.add(address.port)
        else:
            pairs.add((ip_address(_numeric(address.host)), address.port))
    return frozenset(pairs), frozenset(ports)


def _numeric(host: str) -> str:
    return "127.0.0.1" if host == "localhost" else host
