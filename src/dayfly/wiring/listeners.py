"""The sockets of a CA: bound here, and known to the validators as what is never dialled."""

from __future__ import annotations

import socket
from ipaddress import ip_address

from dayfly.config import Address, Config
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


def own_listeners(config: Config) -> tuple[frozenset[tuple[IPAddress, int]], frozenset[int]]:
    """What the CA must never dial: (address, port) pairs, and the ports that it has on every address."""
    pairs: set[tuple[IPAddress, int]] = set()
    ports: set[int] = set()
    for address in (config.address, config.metrics):
        if address is None:
            continue
        if not address.host or ip_address(_numeric(address.host)).is_unspecified:
            ports.add(address.port)
        else:
            pairs.add((ip_address(_numeric(address.host)), address.port))
    return frozenset(pairs), frozenset(ports)


def _numeric(host: str) -> str:
    return "127.0.0.1" if host == "localhost" else host
