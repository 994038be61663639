"""A one-time token that somebody else made, as `--token` brings it: nobody here checks it, the CA does.

Rules: what it says only tells what to ask for and where; a host that knows no CA may take the root that the token
names by its fingerprint, since whoever made the token is trusted with the certificate anyway.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dayfly.cli.ca_target import Target, find_ca, read_defaults, root_is_named
from dayfly.client.step import fetch_root
from dayfly.core.problems import Refused
from dayfly.core.step.audiences import Endpoint
from dayfly.core.step.tokens import parse_token
from dayfly.errors import UsageError


@dataclass(frozen=True, slots=True)
class GivenToken:
    """The token, and what it says: subject, names, the CA's base URL, the root's SHA-256 (hex); each may be empty."""

    text: str = field(repr=False)
    subject: str
    sans: tuple[str, ...]
    base_url: str
    root: str


def read_token(text: str, *, subject: str, endpoint: Endpoint = Endpoint.SIGN) -> GivenToken:
    """The token; UsageError where it is none, or is for another subject than the one that is asked for."""
    try:
        claims = parse_token(text.strip()).unverified_claims
    except Refused as error:
        raise UsageError(f"--token is no token: {error.detail}", hint="make one: dayfly ca token NAME") from None
    said = _text(claims.get("sub"))
    if said.lower() != subject.lower():
        raise UsageError(f"token subject {said!r} and argument {subject!r} do not match", hint="make another token")
    sans = claims.get("sans")
    names = tuple(map(_text, sans)) if isinstance(sans, list) else ()
    audience = claims.get("aud")
    first = _text(audience[0] if isinstance(audience, list) and audience else audience)
    base_url = first.removesuffix(f"/{endpoint}").removesuffix("/1.0") if first.startswith("https://") else ""
    return GivenToken(text.strip(), said, names, base_url, _text(claims.get("sha")))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def target_of(given: GivenToken, home: str | None, options: dict[str, Any]) -> Target:
    """The CA of flags and home; what they leave open comes from the token. UsageError, ClientError."""
    url = options["ca_url"]
    if not url and not read_defaults(home).get("ca-url"):
        url = given.base_url or None
    if root_is_named(home, options["root"]) or not given.root:
        return find_ca(home, url, options["root"])
    named = find_ca(home, url, Path("the root of the token"))
    return Target(named.url, named.root, fetch_root(named.url, given.root))
