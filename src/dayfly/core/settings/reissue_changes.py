"""Changes of reissues, as plans on a revision of the settings.

Rules: a reissue has a number that no other of its settings had; those whose last certificate has ended are cleared away
when another change is made, since they mean nobody any more.
"""

from __future__ import annotations

from datetime import datetime

from dayfly.core.frozen import replace
from dayfly.core.settings.reissues import Reissue
from dayfly.core.settings.revisions import Settings, SettingsChange
from dayfly.errors import ConfigError

NEW = "i1"  # until it has its number


def plan_reissue(settings: Settings, reissue: Reissue) -> tuple[Reissue, SettingsChange]:
    """The reissue under its own number, and the change that makes it."""
    numbers = [int(one.id[1:]) for one in settings.reissues]
    numbered = replace(reissue, id=f"i{max(settings.revision, *numbers, 0) + 1}")
    return numbered, SettingsChange(settings.revision, put=(numbered,), remove=_ended(settings, reissue.at))


def plan_cancellation(settings: Settings, reissue_id: str) -> SettingsChange:
    """The change that takes a reissue back; ConfigError where there is none of this id."""
    if all(one.id != reissue_id for one in settings.reissues):
        hint = "list them: dayfly ca reissue --list"
        raise ConfigError("", f"there is no reissue {reissue_id[:40]!r}", hint=hint)
    return SettingsChange(settings.revision, remove=(("reissue", reissue_id),))


def _ended(settings: Settings, now: datetime) -> tuple[tuple[str, str], ...]:
    return tuple(("reissue", one.id) for one in settings.reissues if one.until < now)
