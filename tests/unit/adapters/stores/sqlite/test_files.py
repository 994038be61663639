"""The database file is its owner's alone, and a file."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dayfly.adapters.stores.sqlite.store import SqliteStore
from dayfly.errors import ConfigError, Unavailable
from dayfly.ports.changes import Changes
from factories import order
from sqlite_world import NAME, nothing, open_sqlite, play

LOCK_ALL_READERS = """
import fcntl, sys
with open(sys.argv[1], "r+b") as file:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 510, 0x40000002)
    except BlockingIOError:
        sys.exit(7)
"""


def test_files_are_the_owners_alone__security_p0_10(tmp_path: Path) -> None:
    """Database, write-ahead log and shared memory are 0600, also under a lax umask."""

    async def scenario(store: SqliteStore) -> None:
        await store.commit(Changes(insert=(order(),)))
        files = {one.name: one.stat() for one in os.scandir(tmp_path)}
        modes = {name: found.st_mode & 0o777 for name, found in files.items()}
        assert modes == {NAME: 0o600, f"{NAME}-wal": 0o600, f"{NAME}-shm": 0o600}
        assert await store.size_bytes() == files[NAME].st_size + files[f"{NAME}-wal"].st_size

    before = os.umask(0)
    try:
        play(tmp_path, scenario)
    finally:
        os.umask(before)
    assert [one.name for one in tmp_path.iterdir()] == [NAME]


def test_file_that_others_can_read_is_refused__security_p0_10(tmp_path: Path) -> None:
    """The error says how to mend it."""
    play(tmp_path, nothing)
    (tmp_path / NAME).chmod(0o640)
    with pytest.raises(ConfigError, match="0640"):
        asyncio.run(open_sqlite(tmp_path))


def test_link_in_the_databases_place_is_refused(tmp_path: Path) -> None:
    """A symbolic link is not followed."""
    (tmp_path / "elsewhere").touch(0o600)
    (tmp_path / NAME).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Unavailable):
        asyncio.run(open_sqlite(tmp_path))


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """A directory, or a pipe, in the database's place."""
    os.mkfifo(tmp_path / NAME, 0o600)
    with pytest.raises(Unavailable, match="no regular file"):
        asyncio.run(open_sqlite(tmp_path))


def test_second_store_of_a_process_leaves_the_first_its_locks(tmp_path: Path) -> None:
    """POSIX drops all of a process's locks on a file when it closes any descriptor of it: nobody else may get in."""

    async def scenario(store: SqliteStore) -> None:
        other = await open_sqlite(tmp_path)
        try:
            command = [sys.executable, "-c", LOCK_ALL_READERS, str(tmp_path / NAME)]
            done = await asyncio.to_thread(subprocess.run, command, check=False, timeout=30)
            assert done.returncode == 7
            await store.check()
        finally:
            await other.close()

    play(tmp_path, scenario)


def test_missing_directory_is_told(tmp_path: Path) -> None:
    """The text names the path."""
    with pytest.raises(Unavailable, match=r"away/dayfly\.db cannot be opened"):
        asyncio.run(open_sqlite(tmp_path / "away"))


def test_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """It is left as it is."""
    (tmp_path / NAME).touch(0o600)
    (tmp_path / NAME).write_bytes(b"no database" * 100)
    with pytest.raises(Unavailable, match="cannot be used"):
        asyncio.run(open_sqlite(tmp_path))
    assert (tmp_path / NAME).read_bytes() == b"no database" * 100
