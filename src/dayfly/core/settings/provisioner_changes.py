"""Changes of provisioners as an admin asks for them, in step's words (step-compat.md parts 10 and 14).

Rules: what is not asked for stays as it is; what only the other type has is refused, not ignored; an ACME provisioner
that names no challenge types offers all, and is never left with none; rules that hold for one provisioner only go with
it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from dayfly.core.frozen import replace
from dayfly.core.policy.keys import KeyType
from dayfly.core.policy.rules import Rule
from dayfly.core.settings.claims import Claims, make_claims
from dayfly.core.settings.provisioners import DEFAULT_CHALLENGES, KNOWN_CHALLENGES, Provisioner, ProvisionerType
from dayfly.core.settings.revisions import Settings, SettingsChange
from dayfly.errors import ConfigError

_AUTHORIZATIONS = ("pre_authorization", "authorization_reuse")
_DIRECTORY = ("require_eab", "terms_of_service", "website", "caa")


@dataclass(frozen=True, slots=True)
class Key:
    """The key of a JWK provisioner: its id, the public JWK as JSON text, and the private one as JWE, or empty."""

    kid: str
    jwk: str
    encrypted: str = ""


@dataclass(frozen=True, slots=True)
class ProvisionerEdit:
    """What is asked for; None and empty leave a thing as it is, but an empty text takes terms or website away.

    `caa_identities`, `key_types` and `profiles` stand in place of those before; ("",) is none, and so all key types and
    the usual profiles.
    """

    minimum: timedelta | None = None
    default: timedelta | None = None
    maximum: timedelta | None = None
    renewal_grace: timedelta | None = None
    disable_renewal: bool | None = None
    allow_renewal_after_expiry: bool | None = None
    disable_smallstep_extensions: bool | None = None
    enabled: bool | None = None
    force_cn: bool | None = None
    add_challenges: tuple[str, ...] = ()
    remove_challenges: tuple[str, ...] = ()
    key: Key | None = None
    publish_key: bool | None = None
    require_eab: bool | None = None
    terms_of_service: str | None = None
    website: str | None = None
    caa_identities: tuple[str, ...] = ()
    pre_authorization: bool | None = None
    authorization_reuse: timedelta | None = None
    caa: bool | None = None
    key_types: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()


def plan_add(settings: Settings, name: str, kind: ProvisionerType, edit: ProvisionerEdit) -> SettingsChange:
    """The change that adds a provisioner; ConfigError where there is one of this name, or the edit does not fit."""
    if settings.find_provisioner(name) is not None:
        raise ConfigError("", f"there is a provisioner named {name} already", hint="choose another name, or update it")
    return SettingsChange(settings.revision, put=(edited(Provisioner(name, kind), edit),))


def plan_update(settings: Settings, name: str, edit: ProvisionerEdit) -> SettingsChange:
    """The change that edits a provisioner; empty where it is as it should be. ConfigError."""
    present = _find(settings, name)
    wanted = edited(present, edit)
    return SettingsChange(settings.revision, put=() if wanted == present else (wanted,))


def plan_provisioner_removal(settings: Settings, name: str) -> tuple[SettingsChange, tuple[Rule, ...]]:
    """The change that removes a provisioner, and the rules that go with it; ConfigError where it is not there."""
    found = _find(settings, name)
    rules = tuple(one for one in settings.rules if one.provisioner == found.name)
    keys = (("provisioner", found.name), *(("rule", one.id) for one in rules))
    return SettingsChange(settings.revision, remove=keys), rules


def _find(settings: Settings, name: str) -> Provisioner:
    found = settings.find_provisioner(name)
    if found is None:
        raise ConfigError("", f"there is no provisioner named {name}", hint="list them: dayfly ca provisioner list")
    return found


def edited(provisioner: Provisioner, edit: ProvisionerEdit) -> Provisioner:
    """The provisioner as it is asked for; ConfigError."""
    _check_type(provisioner, edit)
    own: dict[str, Any] = _asked(edit, ("enabled", "force_cn", "publish_key", *_DIRECTORY, *_AUTHORIZATIONS))
    if edit.caa_identities:
        own["caa_identities"] = tuple(one for one in dict.fromkeys(edit.caa_identities) if one)
    if edit.key_types:
        own["key_types"] = tuple(_key_type(one) for one in dict.fromkeys(edit.key_types) if one)
    if edit.profiles:
        own["profiles"] = tuple(one for one in dict.fromkeys(edit.profiles) if one)
    if edit.key is not None:
        own |= {"kid": edit.key.kid, "key": edit.key.jwk, "encrypted_key": edit.key.encrypted}
    return replace(
        provisioner, claims=_claims(provisioner.claims, edit), challenges=_challenges(provisioner, edit), **own
    )


def _key_type(text: str) -> KeyType:
    found = next((one for one in KeyType if one.lower() == text.lower()), None)
    if found is None:
        raise ConfigError("", f"{text[:40]!r} is no key type", hint=f"known are {', '.join(KeyType)}")
    return found


def _asked(edit: ProvisionerEdit, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name in names if (value := getattr(edit, name)) is not None}


def _check_type(provisioner: Provisioner, edit: ProvisionerEdit) -> None:
    jwk = provisioner.type is ProvisionerType.JWK
    if jwk and (edit.force_cn is not None or edit.add_challenges or edit.remove_challenges):
        raise ConfigError("", "challenges and the forced common name belong to the type ACME", hint="leave them out")
    if jwk and _asked(edit, _AUTHORIZATIONS):
        raise ConfigError("", "authorizations belong to the type ACME: a token proves no name", hint="leave them out")
    if jwk and (edit.caa_identities or _asked(edit, _DIRECTORY)):
        what = "external account binding and what a directory says belong to the type ACME"
        raise ConfigError("", what, hint="leave them out")
    if not jwk and (edit.key is not None or edit.publish_key is not None):
        raise ConfigError("", "a key belongs to the type JWK", hint="leave it out")


def _claims(base: Claims, edit: ProvisionerEdit) -> Claims:
    lifetimes = make_claims(minimum=edit.minimum, default=edit.default, maximum=edit.maximum, base=base)
    names = ("disable_renewal", "allow_renewal_after_expiry", "disable_smallstep_extensions", "renewal_grace")
    return replace(lifetimes, **_asked(edit, names))


def _challenges(provisioner: Provisioner, edit: ProvisionerEdit) -> tuple[str, ...]:
    """Named types are added to those that are named, if any; removed ones are taken from what is offered now."""
    unknown = [one for one in (*edit.add_challenges, *edit.remove_challenges) if one not in KNOWN_CHALLENGES]
    if unknown:
        raise ConfigError(
            "",
            f"this CA has no challenge type {', '.join(unknown)}",
            hint=f"those that there are: {', '.join(KNOWN_CHALLENGES)}",
        )
    wanted = provisioner.challenges + edit.add_challenges
    if edit.remove_challenges:
        wanted = tuple(one for one in wanted or DEFAULT_CHALLENGES if one not in edit.remove_challenges)
        if not wanted:
            raise ConfigError(
                "", "no challenge type would be left: nobody could prove a name", hint="to close it: --disabled"
            )
    return tuple(dict.fromkeys(wanted))
