"""Whose a file is that a hook relies on (security.md 9).

Rules: it and every directory above it belong to root or to this user, and others may write none of them; what was
looked at is the path without links, and only that path is used afterwards.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path


def place_of_others(real: Path) -> Path | None:
    """The first of `real`, which holds no link, and the directories above it that others may change; OSError."""
    return next((place for place in (real, *real.parents) if _others_may_change(place)), None)


def _others_may_change(place: Path) -> bool:
    """A sticky directory of root (`/tmp`) is no way in: others cannot replace what is not theirs."""
    facts = place.stat()
    if facts.st_uid not in (0, os.geteuid()):
        return True
    sticky = stat.S_ISDIR(facts.st_mode) and facts.st_mode & stat.S_ISVTX and facts.st_uid == 0
    return bool(facts.st_mode & 0o022) and not sticky
