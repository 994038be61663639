"""DNS names and IP addresses as identifiers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class IdentifierType(StrEnum):
    """The identifier types that we issue for (RFC 8555 9.7.7, RFC 8738)."""

    DNS = "dns"
    IP = "ip"


@dataclass(frozen=True, slots=True, order=True)
class Identifier:
    """A canonical name: a lower-case DNS name (`*.` in front of a wildcard), or an address in RFC 5952 text."""

    type: IdentifierType
    value: str

    @property
    def is_wildcard(self) -> bool:
        """Is it a wildcard DNS name?"""
        return self.value.startswith("*.")
