"""Provisioners as settings: who may ask, how, and for what.

Rules: no private key is ever in one unencrypted; each type has its own members, and one that has another's is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from dayfly.core.identifiers import parse_dns
from dayfly.core.jose.encoding import EncodingError, strict_json_object
from dayfly.core.jose.jwk import parse_jwk
from dayfly.core.policy.keys import CERTIFICATE_KEYS, KeyType
from dayfly.core.policy.profiles import PROFILES
from dayfly.core.problems import Refused
from dayfly.core.settings.claims import Claims, check_claims
from dayfly.core.settings.owners import check_document_name
from dayfly.errors import ConfigError

# What an ACME provisioner offers that names no challenge types of its own: all that there are, as they are one day. A
# document that names some, as those from before dns-01 and tls-alpn-01 do, keeps what it says.
DEFAULT_CHALLENGES = ("http-01", "dns-01", "tls-alpn-01")
# Those of drafts too, which a provisioner offers only if it names them.
KNOWN_CHALLENGES = (*DEFAULT_CHALLENGES, "dns-account-01", "dns-persist-01")
MAX_REUSE = timedelta(days=7)  # of an authorization; never above the longest lifetime in any case

_LINK = re.compile(r"https?://[!#-;=?-Z_a-z~]{1,2000}")  # printable, and without quotes, <, >, \\, ^, ` and {}


class ProvisionerType(StrEnum):
    """The kinds of provisioners that we know."""

    ACME = "ACME"
    JWK = "JWK"


@dataclass(frozen=True, slots=True)
class Provisioner:
    """Who may ask, and how; `key`, `kid`, `encrypted_key` and `publish_key` belong to the type JWK.

    `challenges` narrows what the type ACME offers; empty is not none but the default. `pre_authorization` opens
    newAuthz there (RFC 8555 7.4.1); `authorization_reuse` is how long a proved name serves the account's next orders,
    at most the longest lifetime; nought is not at all. `publish_key` is the switch of the route that gives the
    encrypted key to whoever asks. `terms_of_service`, `website` and `caa_identities` stand in
    the directory of the type ACME as they are; terms must be agreed to where there are some, and with `require_eab` an
    account must be bound to an external one (RFC 8555 7.1.1). `caa` has the type ACME look at CAA records, in which the
    CA is one of `caa_identities`, or of its own names where there are none. `key_types` are the only
    ones that get certificates; none named are all that the CA takes. `profiles` are those that it offers, its default
    first; empty is the usual ones.
    """

    name: str
    type: ProvisionerType
    claims: Claims = field(default_factory=Claims)
    enabled: bool = True
    challenges: tuple[str, ...] = ()
    force_cn: bool = False
    key: str = ""
    kid: str = ""
    encrypted_key: str = ""
    publish_key: bool = True
    require_eab: bool = False
    terms_of_service: str = ""
    website: str = ""
    caa_identities: tuple[str, ...] = ()
    pre_authorization: bool = False
    authorization_reuse: timedelta = timedelta()
    caa: bool = False
    key_types: tuple[KeyType, ...] = ()
    profiles: tuple[str, ...] = ()


def check_provisioner(provisioner: Provisioner) -> None:
    """Raise ConfigError where its members do not fit together, or one is out of bounds."""
    check_document_name("provisioner", provisioner.name)
    check_claims(provisioner.claims)
    if provisioner.type is ProvisionerType.JWK:
        _check_key(provisioner)
    elif provisioner.key or provisioner.kid or provisioner.encrypted_key:
        raise ConfigError("", f"provisioner {provisioner.name} has a key, which only the type JWK has")
    _check_directory(provisioner)
    if provisioner.type is ProvisionerType.JWK and (provisioner.pre_authorization or provisioner.authorization_reuse):
        raise ConfigError("", f"provisioner {provisioner.name} has authorizations, which only the type ACME has")
    if not timedelta() <= provisioner.authorization_reuse <= MAX_REUSE:
        raise ConfigError(
            "",
            f"the reuse of authorizations of provisioner {provisioner.name} is not between 0s and {MAX_REUSE.days}d",
            hint="1h is plenty: who proves a name once more proves that it is still theirs",
        )
    for kind in provisioner.key_types:
        if kind not in CERTIFICATE_KEYS:
            what = f"provisioner {provisioner.name} names the key type {kind}, which gets no certificates here"
            raise ConfigError("", what, hint=f"known are {', '.join(sorted(CERTIFICATE_KEYS))}")
    _check_profiles(provisioner)
    for challenge in provisioner.challenges:
        if challenge not in KNOWN_CHALLENGES:
            hint = f"known are {', '.join(KNOWN_CHALLENGES)}"
            what = f"provisioner {provisioner.name} names the challenge type {challenge[:40]!r}, which nobody knows"
            raise ConfigError("", what, hint=hint)


def _check_profiles(provisioner: Provisioner) -> None:
    for name in provisioner.profiles:
        if name not in PROFILES:
            what = f"provisioner {provisioner.name} names the profile {name[:40]!r}, which nobody knows"
            raise ConfigError("", what, hint=f"known are {', '.join(PROFILES)}")


def _check_directory(provisioner: Provisioner) -> None:
    """What the directory of an ACME provisioner says beside its resources (RFC 8555 7.1.1)."""
    links = (("terms of service", provisioner.terms_of_service), ("website", provisioner.website))
    if provisioner.type is not ProvisionerType.ACME and (
        provisioner.require_eab or provisioner.caa or provisioner.caa_identities or any(url for _, url in links)
    ):
        what = f"provisioner {provisioner.name} has settings of a directory"
        raise ConfigError("", f"{what}, which only the type ACME has")
    for what, url in links:
        if url and _LINK.fullmatch(url) is None:
            raise ConfigError("", f"the {what} of provisioner {provisioner.name}: {url[:80]!r} is no http or https URL")
    for name in provisioner.caa_identities:
        _check_caa_identity(provisioner, name)


def _check_caa_identity(provisioner: Provisioner, name: str) -> None:
    """The CA's name in CAA records, a domain in canonical spelling (RFC 8659 4.2)."""
    try:
        canonical = parse_dns(name, wildcard=False).value
    except Refused:
        canonical = ""
    if canonical != name:
        raise ConfigError("", f"the CAA identity {name[:80]!r} of provisioner {provisioner.name} is no domain name")


def _check_key(provisioner: Provisioner) -> None:
    """A public JWK whose `kid` is the provisioner's; it is published, so private members are refused (RFC 7517 9.3)."""
    if not provisioner.key:
        return  # it has no key yet; until then nothing is signed for it
    try:
        members = strict_json_object(provisioner.key.encode())
        parse_jwk(members)
    except (EncodingError, UnicodeEncodeError) as error:
        raise ConfigError("", f"the key of provisioner {provisioner.name} cannot be read: {error}") from None
    except Refused as error:
        raise ConfigError("", f"the key of provisioner {provisioner.name}: {error.detail}", hint=error.hint) from None
    if not provisioner.kid or members.get("kid") != provisioner.kid:
        raise ConfigError(
            "", f"the key of provisioner {provisioner.name} and the provisioner differ in kid, or lack one"
        )
