"""Provisioners: each kind answers what it grants on the ACME face, in one literal table.

Rules: a kind that does not issue by ACME is not in the table, so it grants nothing there (step-compat.md part 13); a
provisioner that is disabled grants nothing at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dayfly.core.policy.grant import Grant
from dayfly.core.provisioners import acme
from dayfly.core.settings.documents import Provisioner, ProvisionerType, Settings
from dayfly.core.x509.profile import ProvisionerMark

_ACME_GRANTS: Mapping[ProvisionerType, Callable[[Provisioner, Settings], Grant]] = {ProvisionerType.ACME: acme.grant}

# The numbers of step's provisioner extension (step-compat.md part 9).
_MARK_TYPES: Mapping[ProvisionerType, int] = {ProvisionerType.JWK: 1, ProvisionerType.ACME: 6}


def grant_for(settings: Settings, name: str) -> Grant | None:
    """What the named provisioner grants to ACME accounts; None where it grants nothing, or is not there."""
    provisioner = settings.find_provisioner(name)
    if provisioner is None or not provisioner.enabled:
        return None
    make = _ACME_GRANTS.get(provisioner.type)
    return None if make is None else make(provisioner, settings)


def mark_for(settings: Settings, name: str) -> ProvisionerMark | None:
    """What the provisioner extension says of the named provisioner; None where there is none of that name."""
    provisioner = settings.find_provisioner(name)
    if provisioner is None:
        return None
    return ProvisionerMark(_MARK_TYPES[provisioner.type], provisioner.name, provisioner.kid)
