"""Changes of provisioners, rules and owners: one revision, one commit, an entry of the log for each document."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime

from dayfly.core.events import SettingAction, SettingChanged
from dayfly.core.settings.documents import Document, document_kind, document_name, render_document
from dayfly.core.settings.revisions import Settings, SettingsChange, apply_change
from dayfly.errors import Conflict, Unavailable
from dayfly.ports.changes import Changes
from dayfly.ports.store import Store
from dayfly.ports.system import Clock

TRIES = 5

Plan = Callable[[Settings], SettingsChange]


async def change_settings(store: Store, clock: Clock, plan: Plan) -> Settings:
    """The settings after the change that `plan` makes of the current ones; made anew when another change came first.

    A change of nothing raises no revision.
    """
    for _ in range(TRIES):
        current = await store.settings.settings()
        change = plan(current)
        if not change.put and not change.remove:
            return current
        changed = apply_change(current, change)
        events = setting_events(change, revision=changed.revision, at=clock.now())
        try:
            await store.commit(Changes(settings=change, settings_revision=current.revision, events=events))
        except Conflict:
            continue
        return changed
    raise Unavailable("the settings kept changing while this change was being made", hint="run the command again")


def setting_events(change: SettingsChange, *, revision: int, at: datetime) -> tuple[SettingChanged, ...]:
    """The log entries of a change: what was put, with the digest of its canonical document, and what was removed."""
    put = tuple(_put(document, revision=revision, at=at) for document in change.put)
    removed = tuple(SettingChanged(at, revision, kind, name, SettingAction.REMOVE, "") for kind, name in change.remove)
    return put + removed


def _put(document: Document, *, revision: int, at: datetime) -> SettingChanged:
    digest = hashlib.sha256(render_document(document)).hexdigest()
    kind, name = document_kind(document), document_name(document)
    return SettingChanged(at, revision, kind, name, SettingAction.PUT, digest)
