"""What is said of a name: allowed by whom, or denied by what, and how a client is told.

Rules: a denial names what decided, whose it is, and what would have passed; all names that are denied are told at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from dayfly.core.events import Reason
from dayfly.core.frozen import replace
from dayfly.core.identifiers import Identifier
from dayfly.core.problems import Denial, RejectedIdentifier, Subproblem

DEFAULT_DENY = "default-deny"
ISSUER_CONSTRAINTS = "issuer-constraints"  # in a denial: the issuing certificate's name constraints decided


class Allowed(msgspec.Struct, frozen=True, gc=False):
    """A name is allowed: by which rule, and whose it is."""

    rule: str
    owner: str


@dataclass(frozen=True, slots=True)
class Denied:
    """A name is denied: by what, the reason as a label, and `why` in words."""

    denial: Denial
    reason: Reason
    why: str


def check_decisions(decisions: Sequence[tuple[Identifier, Allowed | Denied]]) -> tuple[Allowed, ...]:
    """What allows each name, in order; RejectedIdentifier names all that are denied (RFC 8555 6.7.1)."""
    denied = [(one, found) for one, found in decisions if isinstance(found, Denied)]
    if not denied:
        return tuple([found for _, found in decisions if isinstance(found, Allowed)])
    subproblems = [
        Subproblem(RejectedIdentifier.type, _told(one, found), one, replace(found.denial, reason=found.reason))
        for one, found in denied
    ]
    if len(denied) == 1:
        raise RejectedIdentifier(subproblems[0].detail, subproblems=subproblems, denial=subproblems[0].denial)
    names = ", ".join(one.value for one, _ in denied[:5])
    raise RejectedIdentifier(f"{len(denied)} names are not allowed: {names}"[:300], subproblems=subproblems)


def _told(identifier: Identifier, found: Denied) -> str:
    """One sentence for the client: the name, why, the rule that decided, what would be allowed, who can help."""
    denial = found.denial
    nearest = f"; nearest that would be allowed: {denial.nearest}" if denial.nearest else ""
    helper = denial.owner or "an owner of a rule"
    return f"{identifier.value}: {found.why} ({denial.rule}){nearest}; {helper} must allow it"
