"""The settings documents: provisioners, rules, owners and reissues, kept in the database under one revision number.

Rules: a document is canonical JSON, one row each; an unknown member is refused, and a missing one has its default, so
that newer code reads older rows; every change raises the revision and is checked as a whole before it is made; a parsed
revision is a frozen value, shared by all requests that rely on it; no private key is ever in one unencrypted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from functools import cached_property

import msgspec

from dayfly.core.frozen import replace
from dayfly.core.identifiers import parse_dns
from dayfly.core.jose.encoding import EncodingError, strict_json_object
from dayfly.core.jose.jwk import parse_jwk
from dayfly.core.policy.index import NameRules, compile_rules
from dayfly.core.policy.keys import CERTIFICATE_KEYS, KeyType
from dayfly.core.policy.lifetimes import LONGEST_WITH_CRL, SHORTEST, LifetimeError, Lifetimes, check_lifetimes
from dayfly.core.policy.profiles import PROFILES
from dayfly.core.policy.rules import Rule, check_rule
from dayfly.core.problems import Refused
from dayfly.core.settings.reissues import MAX_REISSUES, Reissue, check_reissue
from dayfly.errors import ConfigError, Conflict

DEFAULT_MINIMUM = timedelta(minutes=5)  # step's defaults
DEFAULT_LIFETIME = timedelta(hours=24)
DEFAULT_MAXIMUM = timedelta(hours=24)
# What an ACME provisioner offers that names no challenge types of its own: all that there are, as they are one day. A
# document that names some, as those from before dns-01 and tls-alpn-01 do, keeps what it says.
DEFAULT_CHALLENGES = ("http-01", "dns-01", "tls-alpn-01")
# Those of drafts too, which a provisioner offers only if it names them.
KNOWN_CHALLENGES = (*DEFAULT_CHALLENGES, "dns-account-01", "dns-persist-01")
MAX_GRACE = timedelta(days=90)
MAX_REUSE = timedelta(days=7)  # of an authorization; never above the longest lifetime in any case
MAX_PROVISIONERS = 1_000
MAX_RULES = 10_000
MAX_OWNERS = 10_000
MAX_OCTETS = 65_536  # of one document
MAX_CONTACT = 254  # as the longest mail address, RFC 5321 4.5.3.1.3

_LINK = re.compile(r"https?://[!#-;=?-Z_a-z~]{1,2000}")  # printable, and without quotes, <, >, \\, ^, ` and {}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,62}")


class ProvisionerType(StrEnum):
    """The kinds of provisioners that we know."""

    ACME = "ACME"
    JWK = "JWK"


@dataclass(frozen=True, slots=True)
class Claims:
    """What a provisioner may give: lifetimes, and whether its certificates renew.

    `renewal_grace` is how long after its end a certificate renews, where that is allowed at all; None is one lifetime
    of it. `disable_smallstep_extensions` leaves step's provisioner extension out.
    """

    min_lifetime: timedelta = DEFAULT_MINIMUM
    default_lifetime: timedelta = DEFAULT_LIFETIME
    max_lifetime: timedelta = DEFAULT_MAXIMUM
    disable_renewal: bool = False
    allow_renewal_after_expiry: bool = False
    renewal_grace: timedelta | None = None
    disable_smallstep_extensions: bool = False

    @property
    def lifetimes(self) -> Lifetimes:
        """The three lifetimes as policy takes them."""
        return Lifetimes(self.min_lifetime, self.default_lifetime, self.max_lifetime)


def make_claims(
    *,
    minimum: timedelta | None = None,
    default: timedelta | None = None,
    maximum: timedelta | None = None,
    base: Claims | None = None,
) -> Claims:
    """Claims from flags; where only the default is set outside minimum to maximum, they stretch to it (step's rule).

    What is not given is as in `base`. ConfigError where the three do not fit together.
    """
    before = base or Claims()
    shortest, longest = minimum or before.min_lifetime, maximum or before.max_lifetime
    usual = default or min(max(before.default_lifetime, shortest), longest)
    if minimum is None:
        shortest = min(shortest, usual)
    if maximum is None:
        longest = max(longest, usual)
    claims = replace(before, min_lifetime=shortest, default_lifetime=usual, max_lifetime=longest)
    _check_claims(claims)
    return claims


def _check_claims(claims: Claims) -> None:
    if claims.renewal_grace is not None and not timedelta() <= claims.renewal_grace <= MAX_GRACE:
        raise ConfigError(
            "",
            f"the renewal grace is not between 0s and {MAX_GRACE.days}d",
            hint="shorten it: this is for machines that slept, not for ever",
        )
    try:
        check_lifetimes(claims.lifetimes)
    except LifetimeError as error:
        hint = f"choose lifetimes between {SHORTEST.total_seconds():.0f}s and {LONGEST_WITH_CRL.days}d, shortest first"
        raise ConfigError("", str(error), hint=hint) from None


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


@dataclass(frozen=True, slots=True)
class Owner:
    """Who answers for a rule and the certificates that it allows."""

    name: str
    contact: str = ""


Document = Provisioner | Rule | Owner | Reissue
_KINDS: Mapping[str, type[Document]] = {"provisioner": Provisioner, "rule": Rule, "owner": Owner, "reissue": Reissue}
_encode: Callable[[object], bytes] = msgspec.json.Encoder(order="deterministic").encode


def document_kind(document: Document) -> str:
    """The kind under which a document is stored."""
    return type(document).__name__.lower()


def document_name(document: Document) -> str:
    """The name of a document within its kind."""
    return document.id if isinstance(document, Rule | Reissue) else document.name


def render_document(document: Document) -> bytes:
    """The canonical JSON of a document."""
    return _encode(document)


def parse_document(kind: str, body: bytes) -> Document:
    """The document in a stored row; ConfigError where it is none, or says what we do not know."""
    if kind not in _KINDS:
        raise ConfigError("", f"the database holds a settings document of the unknown kind {kind!r}")
    if len(body) > MAX_OCTETS:
        raise ConfigError(
            "", f"a settings document of kind {kind} has {len(body)} octets; at most {MAX_OCTETS} are read"
        )
    try:
        members = strict_json_object(body)
        document = msgspec.convert(members, _KINDS[kind])
    except (EncodingError, msgspec.ValidationError) as error:
        raise ConfigError("", f"a settings document of kind {kind} cannot be read: {error}") from None
    _check_members(kind, members, strict_json_object(render_document(document)))
    return document


def _check_members(where: str, found: Mapping[str, object], known: Mapping[str, object]) -> None:
    """Raise ConfigError for a member that is none of ours: it would be lost at the next change."""
    for member, value in found.items():
        if member not in known:
            raise ConfigError("", f"a settings document holds {where}.{member[:80]!r}, which this Dayfly does not know")
        ours = known[member]
        if isinstance(value, dict) and isinstance(ours, dict):
            _check_members(f"{where}.{member}", value, ours)


@dataclass(frozen=True)
class Settings:
    """All documents of one revision."""

    revision: int = 0
    provisioners: tuple[Provisioner, ...] = ()
    rules: tuple[Rule, ...] = ()
    owners: tuple[Owner, ...] = ()
    reissues: tuple[Reissue, ...] = ()

    @cached_property
    def name_rules(self) -> NameRules:
        """The rules, compiled once per revision."""
        return compile_rules(self.rules)

    @cached_property
    def _by_name(self) -> dict[str, Provisioner]:
        return {one.name: one for one in self.provisioners}

    def find_provisioner(self, name: str) -> Provisioner | None:
        """The provisioner of this name."""
        return self._by_name.get(name)

    @property
    def documents(self) -> tuple[Document, ...]:
        """All documents, owners first."""
        return (*self.owners, *self.provisioners, *self.rules, *self.reissues)


@dataclass(frozen=True, slots=True)
class SettingsChange:
    """What to put and what to remove (kind, name), planned on `revision`."""

    revision: int
    put: tuple[Document, ...] = ()
    remove: tuple[tuple[str, str], ...] = ()


def make_settings(revision: int, documents: tuple[Document, ...]) -> Settings:
    """The settings that these documents make; ConfigError where they do not fit together."""
    _check_unique(documents)
    settings = Settings(
        revision,
        tuple(one for one in documents if isinstance(one, Provisioner)),
        tuple(one for one in documents if isinstance(one, Rule)),
        tuple(one for one in documents if isinstance(one, Owner)),
        tuple(one for one in documents if isinstance(one, Reissue)),
    )
    _check(settings)
    return settings


def apply_change(settings: Settings, change: SettingsChange) -> Settings:
    """The settings of the next revision.

    Conflict where the change was planned on another revision; ConfigError where it cannot be.
    """
    if change.revision != settings.revision:
        raise Conflict(f"the change was planned on revision {change.revision}, and the settings are at another")
    _check_unique(change.put)
    kept = {_key(one): one for one in settings.documents}
    for key in change.remove:
        if kept.pop(key, None) is None:
            raise ConfigError("", f"there is no {key[0]} named {key[1]}")
    kept.update((_key(one), one) for one in change.put)
    return make_settings(settings.revision + 1, tuple(kept.values()))


def _key(document: Document) -> tuple[str, str]:
    return document_kind(document), document_name(document)


def _check_unique(documents: tuple[Document, ...]) -> None:
    seen: set[tuple[str, str]] = set()
    for document in documents:
        key = _key(document)
        if key in seen:
            raise ConfigError("", f"the {key[0]} {key[1]} is there twice")
        seen.add(key)


def _check(settings: Settings) -> None:
    for what, count, most in (
        ("provisioners", len(settings.provisioners), MAX_PROVISIONERS),
        ("rules", len(settings.rules), MAX_RULES),
        ("owners", len(settings.owners), MAX_OWNERS),
        ("reissues", len(settings.reissues), MAX_REISSUES),
    ):
        if count > most:
            raise ConfigError("", f"{count} {what}; at most {most} are kept")
    for owner in settings.owners:
        _check_owner(owner)
    for provisioner in settings.provisioners:
        _check_provisioner(provisioner)
    owners = {owner.name for owner in settings.owners}
    names = {one.name for one in settings.provisioners}
    for reissue in settings.reissues:
        check_reissue(reissue)
    for rule in settings.rules:
        _check_rule(rule, owners=owners, provisioners=names)


def _check_owner(owner: Owner) -> None:
    _check_name("owner", owner.name)
    if len(owner.contact) > MAX_CONTACT or not owner.contact.isprintable():
        raise ConfigError("", f"the contact of owner {owner.name} is not {MAX_CONTACT} printable characters or fewer")


def _check_provisioner(provisioner: Provisioner) -> None:
    _check_name("provisioner", provisioner.name)
    _check_claims(provisioner.claims)
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


def _check_rule(rule: Rule, *, owners: set[str], provisioners: set[str]) -> None:
    check_rule(rule)
    if rule.owner not in owners:
        raise ConfigError("", f"rule {rule.id} names the owner {rule.owner!r}, whom nobody knows")
    if rule.provisioner and rule.provisioner not in provisioners:
        raise ConfigError("", f"rule {rule.id} names the provisioner {rule.provisioner!r}, which is not there")


def _check_name(what: str, name: str) -> None:
    if _NAME.fullmatch(name) is None:
        raise ConfigError(
            "",
            f"{name[:80]!r} cannot name {what}s",
            hint="use 1 to 63 letters, digits, and _ . @ -, a letter or digit first",
        )
