"""Validators, by challenge type; a new one is a file and a line in this table."""

from __future__ import annotations

from collections.abc import Mapping

from dayfly.adapters.validators.dns01 import Dns01
from dayfly.adapters.validators.dnsaccount01 import DnsAccount01
from dayfly.adapters.validators.dnspersist01 import DnsPersist01
from dayfly.adapters.validators.http01 import Http01
from dayfly.adapters.validators.reach import Reach
from dayfly.adapters.validators.resolver import Resolver
from dayfly.adapters.validators.tlsalpn01 import TlsAlpn01
from dayfly.ports.validation import Validated, ValidationTarget, Validator


def make_validators(reach: Reach, resolver: Resolver, *, http_port: int, tls_port: int) -> Mapping[str, Validator]:
    """All validators by the type of their challenge, in the order in which challenges are offered."""
    validators: tuple[Validator, ...] = (
        Http01(reach, port=http_port, tls_port=tls_port),
        Dns01(resolver),
        TlsAlpn01(reach, port=tls_port),
        DnsAccount01(resolver),
        DnsPersist01(resolver),
    )
    return {validator.spec.type: validator for validator in validators}


async def look(validator: Validator, target: ValidationTarget) -> Validated:
    """One try without waiting for turns, wherever it leads; ValidationFailed."""
    location = await validator.locate(target)
    while True:
        found = await validator.validate(target, location)
        if isinstance(found, Validated):
            return found
        location = found
