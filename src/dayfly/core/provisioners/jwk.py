"""The JWK provisioner: whoever has its key signs one-time tokens, and a token names what it is for."""

from __future__ import annotations

from functools import lru_cache

from dayfly.core.jose.encoding import strict_json_object
from dayfly.core.jose.jwk import PublicKey, parse_jwk
from dayfly.core.policy.grant import Grant, under_profile
from dayfly.core.policy.keys import CERTIFICATE_KEYS
from dayfly.core.policy.profiles import offered_profiles
from dayfly.core.settings.provisioners import Provisioner
from dayfly.core.settings.revisions import Settings


def grant(provisioner: Provisioner, settings: Settings) -> Grant:
    """What tokens of this provisioner may ask for, by its first profile, since step's requests name none.

    It offers no challenge, since a token proves nothing more.
    """
    claims = provisioner.claims.lifetimes
    plain = Grant(
        provisioner=provisioner.name,
        rules=settings.name_rules,
        lifetimes=claims,
        challenges=(),
        profile="service",
        may_renew=not provisioner.claims.disable_renewal,
        may_renew_expired=provisioner.claims.allow_renewal_after_expiry,
        renewal_grace=provisioner.claims.renewal_grace,
        key_types=frozenset(provisioner.key_types) or CERTIFICATE_KEYS,
        named_keys=frozenset(provisioner.key_types),
        profiles=offered_profiles(provisioner.profiles, claims),
        claims=claims,
    )
    return under_profile(plain, "")


@lru_cache(maxsize=1024)
def public_key(document: str) -> PublicKey:
    """The key in a provisioner's `key`, parsed once; the settings hold none that cannot be read."""
    return parse_jwk(strict_json_object(document.encode()))
