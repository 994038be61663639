"""All settings documents together, under one revision number.

Rules: every change raises the revision and is checked as a whole before it is made; a parsed revision is a frozen
value, shared by all requests that rely on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from dayfly.core.policy.index import NameRules, compile_rules
from dayfly.core.policy.rules import Rule, check_rule
from dayfly.core.settings.documents import Document, document_kind, document_name
from dayfly.core.settings.owners import Owner, check_owner
from dayfly.core.settings.provisioners import Provisioner, check_provisioner
from dayfly.core.settings.reissues import MAX_REISSUES, Reissue, check_reissue
from dayfly.errors import ConfigError, Conflict

MAX_PROVISIONERS = 1_000
MAX_RULES = 10_000
MAX_OWNERS = 10_000


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
        check_owner(owner)
    for provisioner in settings.provisioners:
        check_provisioner(provisioner)
    owners = {owner.name for owner in settings.owners}
    names = {one.name for one in settings.provisioners}
    for reissue in settings.reissues:
        check_reissue(reissue)
    for rule in settings.rules:
        _check_rule(rule, owners=owners, provisioners=names)


def _check_rule(rule: Rule, *, owners: set[str], provisioners: set[str]) -> None:
    check_rule(rule)
    if rule.owner not in owners:
        raise ConfigError("", f"rule {rule.id} names the owner {rule.owner!r}, whom nobody knows")
    if rule.provisioner and rule.provisioner not in provisioners:
        raise ConfigError("", f"rule {rule.id} names the provisioner {rule.provisioner!r}, which is not there")
