"""The reserve of a full disk: what may use it, how it is given back and had again (reliability.md R4)."""

from __future__ import annotations

import errno
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from contracts.test_store import issued_event
from dayfly.adapters.stores import keep_reserve
from dayfly.adapters.stores.sqlite import reserve as module
from dayfly.adapters.stores.sqlite.reserve import SIZE, Reserve, is_urgent
from dayfly.core.events import AccountRevoked, CertificateRevoked, Event, IssueKind, LogStarted
from dayfly.core.frozen import replace
from dayfly.ports.changes import Changes
from factories import NOW, certificate

REVOKED = CertificateRevoked(NOW, certificate().id, certificate().serial, 1, "account")
"""A revocation, as it is logged."""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Where a database would be."""
    return tmp_path / "dayfly.db"


@pytest.fixture
def file(database: Path) -> Path:
    """Its reserve."""
    return database.with_name("dayfly.db-reserve")


def full(*_: object) -> None:
    """What the disk says when it is full."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_reserve_is_made_for_its_owner_alone_and_takes_room(database: Path, file: Path) -> None:
    """Its blocks are the disk's, not a number in a directory; made twice it is one; one in memory has none."""
    for _ in range(2):
        keep_reserve("sqlite:dayfly.db", home=database.parent)
        found = file.stat()
        assert (found.st_size, found.st_mode & 0o777) == (SIZE, 0o600)
        assert found.st_blocks * 512 >= SIZE
    file.unlink()
    keep_reserve("memory:dayfly.db", home=database.parent)
    assert not file.exists()
    assert not Reserve(database).is_spent()


def test_room_is_given_back_once_and_had_again_when_there_is_some__reliability_r4(
    database: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process of the home sees it too; while there is no room it stays spent, also at a start."""
    one, other = Reserve(database), Reserve(database)
    one.make()
    monkeypatch.setattr(module, "AGAIN", 0.0)
    monkeypatch.setattr(os, "posix_fallocate", full)
    one.release()
    one.release()
    assert file.stat().st_size == 0
    assert one.is_spent()
    assert other.is_spent()
    Reserve(database).make()
    assert other.is_spent()
    monkeypatch.undo()
    assert not Reserve(database).is_spent()
    assert file.stat().st_size == SIZE
    assert not other.is_spent()


def test_room_is_looked_for_once_in_a_while(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at each commit."""
    one = Reserve(database)
    one.make()
    one.release()
    monkeypatch.setattr(os, "posix_fallocate", full)
    assert one.is_spent()
    monkeypatch.undo()
    assert one.is_spent()
    monkeypatch.setattr(module, "AGAIN", 0.0)
    assert not one.is_spent()


def test_disk_without_room_for_a_first_reserve_has_none(
    database: Path, file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said, and nothing is held back."""
    monkeypatch.setattr(os, "posix_fallocate", full)
    one = Reserve(database)
    one.make()
    one.release()
    assert not file.exists()
    assert not one.is_spent()
    assert "no room for a reserve" in caplog.text
    file.symlink_to(database.with_name("elsewhere"))
    one.make()
    assert not database.with_name("elsewhere").exists()


@pytest.mark.parametrize(
    ("changes", "urgent"),
    [
        ({"events": (REVOKED,)}, True),
        ({"events": (LogStarted(NOW, "test"), AccountRevoked(NOW, 7, "acme", "operator"))}, True),
        ({"compromised_keys": ("ab" * 32,)}, True),
        ({"events": (LogStarted(NOW, "test"),)}, False),
        ({}, False),
    ],
)
def test_only_what_takes_something_away_may_use_it__reliability_r4(changes: dict[str, Any], *, urgent: bool) -> None:
    """A revocation, an account that is ended, a key that is barred."""
    assert is_urgent(Changes(**changes)) is urgent


@pytest.mark.parametrize("kind", IssueKind)
def test_no_certificate_but_the_own_one_may_use_it__reliability_r4(kind: IssueKind) -> None:
    """Without it nobody could ask for a revocation."""
    event: Event = replace(issued_event(certificate(not_after=NOW + timedelta(days=1)), "ab" * 32), kind=kind)
    assert is_urgent(Changes(events=(event,))) is (kind is IssueKind.INTERNAL)
