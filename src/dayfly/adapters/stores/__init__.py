"""Stores, by the scheme of the database URL; a new engine is a file and a line in this table."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path

from dayfly.core.events import Event
from dayfly.errors import ConfigError
from dayfly.ports.store import Store

Notify = Callable[[Sequence[Event]], None]
OnFatal = Callable[[Exception], None]

STORES: Mapping[str, str] = {
    "sqlite": "dayfly.adapters.stores.sqlite.store:open_sqlite",
    "memory": "dayfly.adapters.stores.memory.store:open_memory",
}


def _nobody(_: object) -> None:
    """Hear, and do nothing."""


async def open_store(url: str, *, home: Path, notify: Notify = _nobody, on_fatal: OnFatal = _nobody) -> Store:
    """The store of a database URL, opened and migrated; ConfigError for the URL, Unavailable for the database.

    `notify` hears the events of each committed group; `on_fatal` is called once, when what is on disk is unknown.
    """
    scheme, colon, place = url.partition(":")
    if not colon or scheme not in STORES:
        raise ConfigError(
            "database",
            f"found {scheme!r}, expected one of: {', '.join(STORES)}",
            hint='write it as "sqlite:db/dayfly.db"',
        )
    return _factory(scheme)(place, home=home, notify=notify, on_fatal=on_fatal)


def keep_reserve(url: str, *, home: Path) -> None:
    """Set room aside on the disk of a database in a file, for revocations when it is full (reliability.md R4)."""
    scheme, _, place = url.partition(":")
    if scheme == "sqlite":
        keep: Callable[..., None] = importlib.import_module("dayfly.adapters.stores.sqlite.store").keep_reserve
        keep(place, home=home)


def load_stores() -> None:
    """Load the engines' code and schemas now, for a process that may not be able to read them later."""
    for scheme in STORES:
        _factory(scheme)
    migrations()


def _factory(scheme: str) -> Callable[..., Store]:
    module, _, name = STORES[scheme].partition(":")
    factory: Callable[..., Store] = getattr(importlib.import_module(module), name)
    return factory


@cache
def migrations() -> tuple[tuple[int, str], ...]:
    """Numbers and texts of all changes of SQLite's schema, in order."""
    folder = resources.files("dayfly.adapters.stores") / "migrations"
    files = sorted(one.name for one in folder.iterdir() if one.name.endswith(".sql"))
    return tuple((int(name[:4]), (folder / name).read_text("utf-8")) for name in files)
