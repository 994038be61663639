"""dns-account-01 (draft-ietf-acme-dns-account-label): dns-01 at a label that is the account's own.

Rules: the label is made of the account's URL, of which it has one for each name of the CA: the record may stand at any
of their labels, since a client knows the account by the URL under which it met the CA. All else is as in dns-01.
"""

from __future__ import annotations

import base64
import hashlib

from dayfly.adapters.validators.dns01 import LABEL, find_digest
from dayfly.adapters.validators.resolver import Resolver
from dayfly.core.identifiers import IdentifierType
from dayfly.ports.validation import Location, Validated, ValidationFailed, ValidationTarget, ValidatorSpec

DIGEST_OCTETS = 10  # of SHA-256, which make 16 characters without padding


class DnsAccount01:
    """The validator for dns-account-01."""

    spec = ValidatorSpec("dns-account-01", frozenset({IdentifierType.DNS}), wildcards=True)

    def __init__(self, resolver: Resolver) -> None:
        """`resolver` is asked for TXT records; no address of the name is looked up or dialled."""
        self._resolver = resolver

    async def locate(self, target: ValidationTarget) -> Location:
        """Nothing of the name's is dialled."""
        del target
        return Location()

    async def validate(self, target: ValidationTarget, location: Location) -> Validated | Location:
        """Look once at the label of each of the account's URLs; ValidationFailed of the first, always transient."""
        del location
        failures: list[ValidationFailed] = []
        for url in target.account_urls:
            try:
                return await find_digest(self._resolver, record_name(url, target.identifier.value), target)
            except ValidationFailed as failure:
                failures.append(failure)
        raise failures[0]


def record_name(account_url: str, name: str) -> str:
    """Where the account's record stands for this name."""
    digest = hashlib.sha256(account_url.encode()).digest()[:DIGEST_OCTETS]
    return f"_{base64.b32encode(digest).decode().lower()}.{LABEL}.{name}"
