"""Listeners' addresses and the CA's own names, as they are written in settings and flags.

Rules: a port is said and never 0, since URLs are identities; a host is an address and not a name; a wrong value says
what was found and what was expected, under the path that the caller names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address

from dayfly.core.identifiers import Identifier, parse_dns, parse_ip
from dayfly.core.problems import Refused
from dayfly.errors import ConfigError

MAX_DNS_NAMES = 20

_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z.-]*):(?P<port>[0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a listener binds; an empty host is every address, IPv6 and IPv4."""

    host: str
    port: int

    def __str__(self) -> str:
        """The address as it is written: `host:port`, an IPv6 host in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str, path: str) -> Address:
    """A listener's `host:port`; port 0 is refused, since URLs are identities."""
    match = _ADDRESS.fullmatch(text)
    if match is None:
        raise ConfigError(path, f"found {text!r}, expected HOST:PORT or :PORT, as :9000 or 127.0.0.1:9000")
    port = int(match["port"])
    if not 1 <= port <= 65535:
        raise ConfigError(
            path,
            f"port {port} cannot be used; expected 1 to 65535, since URLs are identities",
            hint="choose one, as :9000",
        )
    host = match["host"].strip("[]")
    if host and host != "localhost":
        try:
            ip_address(host)
        except ValueError:
            raise ConfigError(path, f"{host!r} is no IP address; listen on an address or on :{port} for all") from None
    return Address(host, port)


def parse_dns_names(names: list[str] | tuple[str, ...], path: str) -> tuple[Identifier, ...]:
    """The CA's own names, DNS or IP, without duplicates, in order."""
    if not 1 <= len(names) <= MAX_DNS_NAMES:
        raise ConfigError(path, f"expected 1 to {MAX_DNS_NAMES} names, found {len(names)}")
    return tuple(dict.fromkeys(_parse_host(name, path) for name in names))


def _parse_host(text: str, path: str) -> Identifier:
    try:
        ip_address(text.strip("[]"))
    except ValueError:
        is_address = False
    else:
        is_address = True
    try:
        return parse_ip(text.strip("[]")) if is_address else parse_dns(text, wildcard=False)
    except Refused as error:
        raise ConfigError(path, f"{text!r} is not a name that the CA can have: {error.detail}") from None
