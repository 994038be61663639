"""Provisioners: each kind answers what it grants, on which face, in literal tables.

Rules: a kind that is not in a face's table grants nothing there, so that a token naming an ACME provisioner is refused
by type (step-compat.md part 13); a provisioner that is disabled, or has no key yet, grants nothing at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dayfly.core.jose.jwk import PublicKey
from dayfly.core.policy.grant import Grant
from dayfly.core.provisioners import acme, jwk
from dayfly.core.settings.provisioners import Provisioner, ProvisionerType
from dayfly.core.settings.revisions import Settings
from dayfly.core.x509.profile import ProvisionerMark

_Make = Callable[[Provisioner, Settings], Grant]

_ACME_GRANTS: Mapping[ProvisionerType, _Make] = {ProvisionerType.ACME: acme.grant}
_TOKEN_GRANTS: Mapping[ProvisionerType, _Make] = {ProvisionerType.JWK: jwk.grant}
_RENEWAL_GRANTS: Mapping[ProvisionerType, _Make] = {ProvisionerType.ACME: acme.grant, ProvisionerType.JWK: jwk.grant}

# The numbers of step's provisioner extension (step-compat.md part 9).
_MARK_TYPES: Mapping[ProvisionerType, int] = {ProvisionerType.JWK: 1, ProvisionerType.ACME: 6}


@dataclass(frozen=True, slots=True)
class TokenGrant:
    """What a provisioner grants to its tokens, and the key that they are signed with."""

    grant: Grant
    key: PublicKey


def grant_for(settings: Settings, name: str) -> Grant | None:
    """What the named provisioner grants to ACME accounts; None where it grants nothing, or is not there."""
    return _grant(_ACME_GRANTS, settings, name)


def token_grant_for(settings: Settings, name: str, kid: str) -> TokenGrant | None:
    """What the provisioner of this name and `kid` grants to its tokens; None where none signs by token."""
    grant, provisioner = _grant(_TOKEN_GRANTS, settings, name), settings.find_provisioner(name)
    if grant is None or provisioner is None or not provisioner.key or provisioner.kid != kid:
        return None
    return TokenGrant(grant, jwk.public_key(provisioner.key))


def renewal_grant_for(settings: Settings, name: str) -> Grant | None:
    """What the named provisioner grants to those who hold its certificates; None where it grants nothing any more."""
    return _grant(_RENEWAL_GRANTS, settings, name)


def _grant(makers: Mapping[ProvisionerType, _Make], settings: Settings, name: str) -> Grant | None:
    provisioner = settings.find_provisioner(name)
    if provisioner is None or not provisioner.enabled:
        return None
    make = makers.get(provisioner.type)
    return None if make is None else make(provisioner, settings)


def mark_for(settings: Settings, name: str) -> ProvisionerMark | None:
    """What the provisioner extension says of the named provisioner; None where there is none, or its claims say so."""
    provisioner = settings.find_provisioner(name)
    if provisioner is None or provisioner.claims.disable_smallstep_extensions:
        return None
    return ProvisionerMark(_MARK_TYPES[provisioner.type], provisioner.name, provisioner.kid)
