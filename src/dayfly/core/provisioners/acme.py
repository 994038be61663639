"""The ACME provisioner: accounts prove control of names by challenges (RFC 8555)."""

from __future__ import annotations

from dayfly.core.policy.grant import Grant, under_profile
from dayfly.core.policy.keys import CERTIFICATE_KEYS
from dayfly.core.policy.lifetimes import shrink
from dayfly.core.policy.profiles import offered_profiles
from dayfly.core.settings.provisioners import DEFAULT_CHALLENGES, Provisioner
from dayfly.core.settings.revisions import Settings


def grant(provisioner: Provisioner, settings: Settings) -> Grant:
    """What accounts of this provisioner may ask for."""
    claims, challenges = provisioner.claims.lifetimes, provisioner.challenges or DEFAULT_CHALLENGES
    plain = Grant(
        provisioner=provisioner.name,
        rules=settings.name_rules,
        lifetimes=claims,
        challenges=challenges,
        profile="service",
        force_cn=provisioner.force_cn,
        may_renew=not provisioner.claims.disable_renewal,
        may_renew_expired=provisioner.claims.allow_renewal_after_expiry,
        renewal_grace=provisioner.claims.renewal_grace,
        caa=provisioner.caa,
        identities=provisioner.caa_identities,
        pre_authorization=provisioner.pre_authorization,
        authorization_reuse=shrink(provisioner.authorization_reuse, 1, provisioner.claims.max_lifetime),
        key_types=frozenset(provisioner.key_types) or CERTIFICATE_KEYS,
        named_keys=frozenset(provisioner.key_types),
        profiles=offered_profiles(provisioner.profiles, claims),
        claims=claims,
        all_challenges=challenges,
    )
    return under_profile(plain, "")
