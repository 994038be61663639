"""What somebody can do whose name was refused, whichever dialect told it.

Rules: a command is there to be copied, so nothing gets into it that is not spelled as the id of a denial.
"""

from __future__ import annotations

from collections.abc import Sequence

from dayfly.core.policy.denials import is_denial_id


def hint_of_denial(nearest: str, ids: Sequence[str]) -> str:
    """A name that a rule gives, and the command by which an admin allows what was denied; "" where nothing is known."""
    flags = " ".join(f"--denial {one}" for one in dict.fromkeys(ids) if is_denial_id(one))
    hints = [f"ask for a name that a rule gives, as {nearest}"] if nearest else []
    hints += [f"an admin of the CA allows exactly this by: dayfly ca policy allow {flags}"] if flags else []
    return "; or ".join(hints)
