"""What shall be issued, as data: every entry point decides on one of these, and one function carries it out."""

from __future__ import annotations

from dataclasses import dataclass

from dayfly.core.identifiers import Identifier
from dayfly.core.policy.lifetimes import Validity
from dayfly.core.policy.names import Allowed


@dataclass(frozen=True, slots=True)
class IssuePlan:
    """What shall be issued; `allowed` is the name rule that decided, the first name's.

    The common name is one of the names, or for the step API `subject`, a name beside them that met the same rules.
    """

    names: tuple[Identifier, ...]
    spki: bytes
    validity: Validity
    common_name: str | None
    profile: str
    provisioner: str
    allowed: Allowed
    subject: Identifier | None = None
