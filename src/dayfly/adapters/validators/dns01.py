"""dns-01 (RFC 8555 8.4): look for a digest among the TXT records below the name.

Rules: aliases are followed within a bound; of at most a hundred values any may match, each with its strings joined;
nothing is trimmed and nothing is shown, values are counted only. A wildcard is proved by DNS alone.
"""

from __future__ import annotations

import hashlib
import hmac

from dayfly.adapters.validators.hops import Step, hop
from dayfly.adapters.validators.resolver import Resolver, Texts
from dayfly.core.identifiers import IdentifierType
from dayfly.core.jose.encoding import b64u_encode
from dayfly.core.problems import Dns, Unauthorized
from dayfly.ports.validation import Location, Validated, ValidationFailed, ValidationTarget, ValidatorSpec

LABEL = "_acme-challenge"
MAX_VALUES = 100


class Dns01:
    """The validator for dns-01."""

    spec = ValidatorSpec("dns-01", frozenset({IdentifierType.DNS}), wildcards=True)

    def __init__(self, resolver: Resolver) -> None:
        """`resolver` is asked for TXT records; no address of the name is looked up or dialled."""
        self._resolver = resolver

    async def locate(self, target: ValidationTarget) -> Location:
        """Nothing of the name's is dialled."""
        del target
        return Location()

    async def validate(self, target: ValidationTarget, location: Location) -> Validated | Location:
        """Look once; ValidationFailed, always transient: records may come, and others go."""
        del location
        return await find_digest(self._resolver, f"{LABEL}.{target.identifier.value}", target)


async def find_digest(resolver: Resolver, name: str, target: ValidationTarget) -> Validated:
    """The proof among the TXT values of this name; ValidationFailed."""
    texts = await few_texts(resolver, name)
    expected = b64u_encode(hashlib.sha256(target.key_authorization.encode()).digest()).encode()
    if not any(hmac.compare_digest(value, expected) for value in texts.values):
        count = len(texts.values)
        values = "1 value, which is not" if count == 1 else f"{count} values, none of which is"
        problem = Unauthorized(f"TXT of {name}: {values} the digest of this account's key authorization")
        raise ValidationFailed(problem, transient=True)
    return Validated(texts.server)


async def few_texts(resolver: Resolver, name: str) -> Texts:
    """The TXT values of this name; ValidationFailed, also where there are too many."""
    texts = await resolver.texts(name)
    count = len(texts.values)
    hop(Step.ANSWER, f"TXT of {name}", f"{count} values", passed=count <= MAX_VALUES)
    if count > MAX_VALUES:
        problem = Dns(f"TXT of {name}: {count} values; at most {MAX_VALUES} are read")
        raise ValidationFailed(problem, transient=True)
    return texts
