"""dns-persist-01 (draft-ietf-acme-dns-persist): a TXT record that stays, and names this CA and the account.

Rules: what a record must say stands in core/acme/persistent; what was found is used again for no longer than the
record's TTL; no text of a record is shown.
"""

from __future__ import annotations

from dayfly.adapters.system import SystemClock
from dayfly.adapters.validators.dns01 import few_texts
from dayfly.adapters.validators.resolver import Resolver
from dayfly.core.acme.persistent import LABEL, Fault, Sought, judge_records
from dayfly.core.identifiers import IdentifierType
from dayfly.core.problems import Unauthorized
from dayfly.ports.system import Clock
from dayfly.ports.validation import Location, Validated, ValidationFailed, ValidationTarget, ValidatorSpec


class DnsPersist01:
    """The validator for dns-persist-01."""

    spec = ValidatorSpec("dns-persist-01", frozenset({IdentifierType.DNS}), wildcards=True, token=False)

    def __init__(self, resolver: Resolver, *, clock: Clock | None = None) -> None:
        """`resolver` is asked for TXT records; `clock` is for persistUntil, the system's where none is given."""
        self._resolver = resolver
        self._clock = clock or SystemClock()

    async def locate(self, target: ValidationTarget) -> Location:
        """Nothing of the name's is dialled."""
        del target
        return Location()

    async def validate(self, target: ValidationTarget, location: Location) -> Validated | Location:
        """Look once; ValidationFailed, always transient: records may come, and others go."""
        del location
        name = f"{LABEL}.{target.identifier.value}"
        texts = await few_texts(self._resolver, name)
        sought = Sought(target.issuers, target.account_urls, target.wildcard)
        fault = judge_records(texts.values, sought, now=self._clock.now())
        if fault is not None:
            raise ValidationFailed(Unauthorized(_words(name, len(texts.values), fault)), transient=True)
        return Validated(texts.server, reuse_for=texts.ttl)


def _words(name: str, count: int, fault: Fault) -> str:
    return f"TXT of {name}: {count} value{'' if count == 1 else 's'}, {fault.value}"
