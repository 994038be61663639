"""What a directory says of the CA beside its resources: `meta` (RFC 8555 7.1.1).

Rules: what is not configured is absent, never null or empty; `externalAccountRequired` is there where it is true.
"""

from __future__ import annotations

from typing import Any

from dayfly.core.policy.profiles import PROFILES
from dayfly.core.settings.provisioners import Provisioner


def directory_meta(
    provisioner: Provisioner, offered: tuple[str, ...], *, own_names: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The members of `meta`, with the profiles that are offered (ACME profiles draft, 3).

    `own_names` are the CA's in CAA records by default.
    """
    members = {
        "termsOfService": provisioner.terms_of_service,
        "website": provisioner.website,
        "caaIdentities": provisioner.caa_identities or (own_names if provisioner.caa else ()),
        "externalAccountRequired": provisioner.require_eab,
        "profiles": {one: PROFILES[one].description for one in offered},
    }
    return {name: value for name, value in members.items() if value}
