"""Nonces without end cost a CA neither memory nor rows (acme.md part 16, D15)."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ca_world import CA, found

NONCES = int(os.environ.get("NONCES", "3000"))  # the row asks 1,000,000 in ten minutes
WARM = 1000
PIPED = 16
MINUTES = 10
MEGABYTES = 20
TIMED_ROWS = 20  # checkpoints, which come by the clock and not by the request


@pytest.fixture
def ca(tmp_path: Path) -> Iterator[CA]:
    """A CA without limits that runs."""
    one = found(tmp_path)
    toml = one.home / "ca.toml"
    toml.write_text(toml.read_text() + "\n[limits]\nenabled = false\n")
    one.start()
    try:
        yield one
    finally:
        one.stop()


@contextlib.contextmanager
def dialled(ca: CA) -> Iterator[ssl.SSLSocket]:
    """A TLS connection."""
    context = ssl.create_default_context(cafile=str(ca.root))
    plain = socket.create_connection(("127.0.0.1", ca.port), timeout=20)
    with context.wrap_socket(plain, server_hostname="127.0.0.1") as connection:
        yield connection


def fetch(connection: ssl.SSLSocket, count: int) -> set[bytes]:
    """So many nonces, a few requests at a time behind one another; those that came."""
    request = b"HEAD /acme/acme/new-nonce HTTP/1.1\r\nHost: ca.internal.example\r\n\r\n"
    nonces: set[bytes] = set()
    for begin in range(0, count, PIPED):
        asked = min(PIPED, count - begin)
        connection.sendall(request * asked)
        said = b""
        while said.count(b"\r\n\r\n") < asked:
            piece = connection.recv(65536)
            assert piece, said
            said += piece
        heads = said.split(b"\r\n\r\n")
        assert all(head.startswith(b"HTTP/1.1 200 ") for head in heads[:-1]), said
        lines = (line for head in heads for line in head.split(b"\r\n"))
        nonces |= {line for line in lines if line.lower().startswith(b"replay-nonce: ")}
    return nonces


def resident(ca: CA) -> int:
    """Octets of memory that the CA holds."""
    assert ca.process is not None
    pages = Path(f"/proc/{ca.process.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGESIZE")


def rows(ca: CA) -> int:
    """How many rows there are in all tables."""
    tables = [name for (name,) in ca.sql("SELECT name FROM sqlite_master WHERE type = 'table'")]
    assert len(tables) > 10
    return sum(ca.sql(f'SELECT count(*) FROM "{name}"')[0][0] for name in tables)  # noqa: S608 - our own tables


@pytest.mark.timeout(60 + MINUTES * 60)
def test_nonces_take_neither_memory_nor_rows_in_a_running_ca__acme_d15(ca: CA) -> None:
    """NONCES requests over one connection: every nonce another one, memory within 20 MB of before, and no row."""
    with dialled(ca) as connection:
        fetch(connection, WARM)
        memory, held, begin = resident(ca), rows(ca), time.monotonic()
        per_turn = 10_000
        seen = 0
        for start in range(0, NONCES, per_turn):
            seen += len(fetch(connection, min(per_turn, NONCES - start)))
        took, grown = time.monotonic() - begin, resident(ca) - memory
    print(f"{NONCES} nonces in {took:.0f} s, {grown / 1e6:.1f} MB more, {rows(ca) - held} rows more")  # noqa: T201 - the figure
    assert seen == NONCES
    assert took < MINUTES * 60
    assert grown < MEGABYTES * 1_000_000
    assert rows(ca) - held <= TIMED_ROWS
