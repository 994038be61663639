"""What somebody can do whose names were refused, whichever dialect told it.

Rules: a command is advised only where it helps: what no rule gives can be allowed by the denial's id, what a deny rule
takes cannot, and what the issuer may not sign, or a scope leaves out, no rule mends; a command is there to be copied,
so nothing gets into it that is not spelled as the id of a denial or of a rule.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from dayfly.core.policy.decisions import DEFAULT_DENY, ISSUER_CONSTRAINTS
from dayfly.core.policy.denials import is_denial_id
from dayfly.core.problems import Denial

MAX_NEAREST = 5  # names in one hint

_RULE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def hint_of_denials(denials: Sequence[Denial]) -> str:
    """Who denies it, names that rules give, and the command by which an admin mends it; "" where nothing is known."""
    nearest = list(dict.fromkeys(one.nearest for one in denials if one.nearest))[:MAX_NEAREST]
    hints = [f"ask for a name that a rule gives, as {' or '.join(nearest)}"] if nearest else []
    ids = dict.fromkeys(one.id for one in denials if one.rule in {"", DEFAULT_DENY} and is_denial_id(one.id))
    if ids:
        flags = " ".join(f"--denial {one}" for one in ids)
        hints.append(f"an admin of the CA allows exactly this by: dayfly ca policy allow {flags}")
    return "; ".join([*_denying(denials), *(["; or ".join(hints)] if hints else [])])


def _denying(denials: Sequence[Denial]) -> Iterator[str]:
    """A sentence for each deny rule that decided: only its owner, or its removal, changes anything."""
    rules = {one.rule: one.owner for one in denials if one.rule not in {"", DEFAULT_DENY, ISSUER_CONSTRAINTS}}
    for rule, owner in rules.items():
        if ":" in rule:  # the scope of an external account key or an account, which no rule widens
            yield f"the scope of {rule} does not allow it: {owner or 'an admin of the CA'} must give another key"
            continue
        whose = f" of {owner} denies it: talk to {owner}" if owner else " denies it"
        command = f"; an admin can take it back by: dayfly ca policy remove {rule}" if _RULE_ID.fullmatch(rule) else ""
        yield f"rule {rule}{whose}{command}"
