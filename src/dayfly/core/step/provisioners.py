"""Provisioners as stock clients list them: the public view, in the shape of ca.json (step-compat.md part 3).

Rules: what a client needs to choose one and to ask for a token's key, and nothing private; one that is disabled is not
listed; one that cannot start is, under a type that clients skip, since they look for a key in every JWK that they see.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dayfly.core.jose.encoding import strict_json_object
from dayfly.core.policy.lifetimes import render_duration
from dayfly.core.settings.claims import Claims
from dayfly.core.settings.provisioners import DEFAULT_CHALLENGES, Provisioner, ProvisionerType
from dayfly.core.settings.revisions import Settings
from dayfly.core.step.answers import ProvisionerPage

UNINITIALIZED = "Uninitialized"
_KEY_MEMBERS = ("use", "kty", "kid", "crv", "alg", "x", "y", "n", "e")


def list_provisioners(settings: Settings, *, cursor: str, limit: int) -> ProvisionerPage:
    """A page of at most `limit`, by name, from the one that `cursor` names on."""
    listed = sorted((one for one in settings.provisioners if one.enabled), key=lambda one: one.name)
    rest = [one for one in listed if one.name >= cursor]
    following = rest[limit].name if len(rest) > limit else ""
    return ProvisionerPage(tuple(describe(one) for one in rest[:limit]), following)


def describe(provisioner: Provisioner) -> Mapping[str, Any]:
    """The public view of one."""
    if provisioner.type is ProvisionerType.JWK and not provisioner.key:
        return {
            "type": UNINITIALIZED,
            "name": provisioner.name,
            "state": UNINITIALIZED,
            "stateReason": "it has no key yet",
        }
    common = {"type": provisioner.type.value, "name": provisioner.name}
    return {**common, **_own_members(provisioner), "claims": _claims(provisioner.claims), "options": {}}


def find_encrypted_key(settings: Settings, kid: str) -> str | None:
    """The encrypted key of an enabled provisioner with this `kid` that publishes it."""
    for one in settings.provisioners:
        if one.kid == kid and one.enabled and one.publish_key and one.encrypted_key:
            return one.encrypted_key
    return None


def _own_members(provisioner: Provisioner) -> Mapping[str, Any]:
    if provisioner.type is ProvisionerType.JWK:
        key = strict_json_object(provisioner.key.encode())
        return {"key": {name: key[name] for name in _KEY_MEMBERS if name in key}}
    reuse = provisioner.authorization_reuse
    directory = {
        "requireEAB": provisioner.require_eab,
        "termsOfService": provisioner.terms_of_service,
        "website": provisioner.website,
        "caaIdentities": provisioner.caa_identities,
        "caa": provisioner.caa,
        "preAuthorization": provisioner.pre_authorization,
        "authorizationReuse": render_duration(reuse) if reuse else "",
    }
    told = {name: value for name, value in directory.items() if value}
    return {"forceCN": provisioner.force_cn, "challenges": provisioner.challenges or DEFAULT_CHALLENGES, **told}


def _claims(claims: Claims) -> Mapping[str, Any]:
    grace = {} if claims.renewal_grace is None else {"renewalGrace": render_duration(claims.renewal_grace)}
    return {
        "minTLSCertDuration": render_duration(claims.min_lifetime),
        "maxTLSCertDuration": render_duration(claims.max_lifetime),
        "defaultTLSCertDuration": render_duration(claims.default_lifetime),
        "enableSSHCA": False,
        "disableRenewal": claims.disable_renewal,
        "allowRenewalAfterExpiry": claims.allow_renewal_after_expiry,
        "disableSmallstepExtensions": claims.disable_smallstep_extensions,
        **grace,
    }
