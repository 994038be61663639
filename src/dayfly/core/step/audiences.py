"""For whom a token is: an endpoint's URL under each name of the CA, in the spellings that clients use.

Rules: the names are ours, and none is taken from a token.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Endpoint(StrEnum):
    """What a token may be for; the value is the path's last segment."""

    SIGN = "sign"
    RENEW = "renew"
    REVOKE = "revoke"


def audience(base_url: str, endpoint: Endpoint) -> str:
    """The audience that a client writes: `https://ca.internal.example:9000/1.0/sign`."""
    return f"{base_url}/1.0/{endpoint}"


def accepted_audiences(base_urls: Iterable[str], endpoint: Endpoint) -> frozenset[str]:
    """The audiences that the server takes: each base URL, with and without `/1.0`; port 443 written or left out."""
    bases = [spelling for base in base_urls for spelling in _spellings(base)]
    return frozenset(f"{base}{prefix}/{endpoint}" for base in bases for prefix in ("", "/1.0"))


def _spellings(base: str) -> tuple[str, ...]:
    """A base URL with its port, and without where it is the scheme's own."""
    if base.endswith(":443"):
        return base, base.removesuffix(":443")
    host = base.removeprefix("https://")
    has_port = "]:" in host if host.startswith("[") else ":" in host
    return (base,) if has_port else (base, f"{base}:443")
