"""Owners as settings: who answers for a rule.

Rules: an owner is a name that rules refer to and a contact that people read; names of documents have one alphabet.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from dayfly.errors import ConfigError

MAX_CONTACT = 254  # as the longest mail address, RFC 5321 4.5.3.1.3

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,62}")


@dataclass(frozen=True, slots=True)
class Owner:
    """Who answers for a rule and the certificates that it allows."""

    name: str
    contact: str = ""


def check_owner(owner: Owner) -> None:
    """Raise ConfigError where the name cannot name an owner, or the contact cannot be shown."""
    check_document_name("owner", owner.name)
    if len(owner.contact) > MAX_CONTACT or not owner.contact.isprintable():
        raise ConfigError("", f"the contact of owner {owner.name} is not {MAX_CONTACT} printable characters or fewer")


def check_document_name(what: str, name: str) -> None:
    """Raise ConfigError where the text cannot name `what`, an owner or a provisioner."""
    if _NAME.fullmatch(name) is None:
        raise ConfigError(
            "",
            f"{name[:80]!r} cannot name {what}s",
            hint="use 1 to 63 letters, digits, and _ . @ -, a letter or digit first",
        )
