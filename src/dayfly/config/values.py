"""What a CA process needs to start, as frozen values.

Rules: everything here was checked; paths are absolute.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from dayfly.config.addresses import Address
from dayfly.core.acme.chaos import Chaos
from dayfly.core.identifiers import Identifier
from dayfly.core.policy.limits import DEFAULT_FIGURES, LimitFigures


@dataclass(frozen=True, slots=True)
class ValidationConfig:
    """The `[validation]` table: lab settings, each with the default that the RFCs name."""

    http_port: int = 80
    tls_port: int = 443
    resolver: tuple[Address, ...] = ()
    allow: tuple[IPv4Network | IPv6Network, ...] = ()
    hosts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CRLConfig:
    """The `[crl]` table: where CRLs are served in the plain, the URL that leaves name, how long each is good."""

    address: Address
    url: str
    validity: timedelta


@dataclass(frozen=True, slots=True)
class Config:
    """A validated ca.toml; paths are absolute."""

    home: Path
    name: str
    address: Address
    dns_names: tuple[Identifier, ...]
    database: str
    root: Path
    issuer_certificate: Path
    issuer_key: str
    log_key: str
    metrics: Address | None
    validation: ValidationConfig
    limits_enabled: bool
    limit_figures: LimitFigures = DEFAULT_FIGURES
    explanation_url: str = ""
    chaos: Chaos | None = None
    issuer_alternates: tuple[Path, ...] = ()
    crl: CRLConfig | None = None

    @property
    def base_urls(self) -> tuple[str, ...]:
        """The URLs under which the CA is known, the canonical one first; port 443 is left out of them."""
        port = "" if self.address.port == 443 else f":{self.address.port}"
        return tuple(f"https://{url_host(name)}{port}" for name in self.dns_names)


def url_host(name: Identifier) -> str:
    """The name as a URL has it: an IPv6 address in brackets."""
    return f"[{name.value}]" if ":" in name.value else name.value
