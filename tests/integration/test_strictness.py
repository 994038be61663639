"""A real CA against what no client of ours sends, and against many who say nothing (security.md 15, H and L rows)."""

from __future__ import annotations

import json
import resource
import socket
import ssl
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPSConnection
from pathlib import Path

import pytest

from ca_world import CA, PASSWORD, running

HALF_OPEN = 300
SLOW = 50
FLAT = 40 * 1024 * 1024  # octets of memory that the whole crowd may take


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CA]:
    """A CA that runs for this module's tests."""
    with running(tmp_path_factory.mktemp("ca")) as one:
        yield one


def context_of(ca: CA) -> ssl.SSLContext:
    """Trusts the root alone."""
    return ssl.create_default_context(cafile=str(ca.root))


def ask(ca: CA, method: str, path: str, *, body: bytes = b"", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """One request on a new connection; a path is sent as it stands."""
    connection = HTTPSConnection("127.0.0.1", ca.port, context=context_of(ca), timeout=10)
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        if body:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body or None)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def pid_of(ca: CA) -> int:
    """The process."""
    assert ca.process is not None
    return ca.process.pid


def memory_of(pid: int) -> int:
    """Resident octets."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


def descriptors_of(pid: int) -> int:
    """Open files."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


# --- what is ignored, refused, not there ------------------------------------------------------------------------------


def test_range_is_ignored__security_h10(ca: CA) -> None:
    """The whole answer comes, as without the header, and says nothing of ranges."""
    status, headers, body = ask(ca, "GET", "/roots.pem", Range="bytes=0-3")
    assert (status, body) == (200, ca.root.read_bytes())
    assert not {"content-range", "accept-ranges"} & set(headers)


@pytest.mark.parametrize("path", ["/acme/acme/new-order", "/sign"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Content_Type": "multipart/form-data; boundary=x"},
        {"Content_Type": "application/json", "Content_Encoding": "gzip"},
    ],
    ids=["multipart", "gzip"],
)
def test_multipart_and_compressed_bodies_are_refused__security_h10(ca: CA, path: str, headers: dict[str, str]) -> None:
    """A bomb of a megabyte of zeros is 1 kB on the way, and is never unpacked."""
    import gzip

    began = time.monotonic()
    status, _, _ = ask(ca, "POST", path, body=gzip.compress(bytes(1024 * 1024)), **headers)
    assert status in {400, 415}
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "path",
    [
        "/.git/config",
        "/.env",
        "/acme/acme/directory%00",
        "/acme/acme/../../ca.toml",
        "//health",
        "/health/",
        "/%2e%2e/x",
        "/a;b",
    ],
)
def test_path_that_is_none_is_a_small_404__security_h11(ca: CA, path: str) -> None:
    """Not found, in few octets, for what is not a canonical path of ours."""
    status, headers, body = ask(ca, "GET", path)
    assert status == 404
    assert len(body) < 500
    assert "problem+json" in headers["content-type"] or "application/json" in headers["content-type"]


def test_answers_say_no_more_than_they_must__security_h11(ca: CA) -> None:
    """No header names the software, and none is reflected."""
    _, headers, body = ask(ca, "GET", "/health", Host="evil.example", X_Forwarded_Host="evil.example")
    assert not {"server", "x-powered-by", "via"} & set(headers)
    assert b"evil" not in body + json.dumps(headers).encode()


# --- crowds -----------------------------------------------------------------------------------------------------------


def test_half_open_crowd_takes_neither_turn_nor_memory__security_h6(ca: CA) -> None:
    """While 300 connections say nothing, others are served as before, and memory stays flat."""
    before = memory_of(pid_of(ca))
    quiet = typical(ca)
    with ExitStack() as stack:
        for _ in range(HALF_OPEN):
            stack.enter_context(socket.create_connection(("127.0.0.1", ca.port), 5))
        crowded = typical(ca)
        assert memory_of(pid_of(ca)) - before < FLAT
    assert crowded < 5 * quiet + 0.2
    assert ask(ca, "GET", "/health")[0] == 200


def test_slow_readers_and_writers_take_neither_turn_nor_memory__security_h7(ca: CA) -> None:
    """50 peers that stop in the middle of a request, and 50 that do not read their answers, hold nobody up."""
    before = memory_of(pid_of(ca))
    get = b"GET /acme/acme/directory HTTP/1.1\r\nHost: a\r\n\r\n"
    post = b"POST /sign HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n" + b"x" * 30_000
    context = context_of(ca)
    with ExitStack() as stack:
        for octets in (get * 16, post):
            for _ in range(SLOW):
                plain = socket.create_connection(("127.0.0.1", ca.port), 5)
                plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                stack.enter_context(context.wrap_socket(plain, server_hostname="127.0.0.1")).sendall(octets)
        assert ask(ca, "GET", "/health")[0] == 200
        assert memory_of(pid_of(ca)) - before < FLAT
    assert ask(ca, "GET", "/health")[0] == 200


def typical(ca: CA) -> float:
    """Seconds of an answer on a new connection, the median of nine."""
    times = []
    for _ in range(9):
        began = time.monotonic()
        assert ask(ca, "GET", "/health")[0] == 200
        times.append(time.monotonic() - began)
    return sorted(times)[4]


# --- the process ------------------------------------------------------------------------------------------------------


def test_process_keeps_its_secrets__security_l7(ca: CA) -> None:
    """No core dump, a closed umask, and neither password nor key in arguments or environment."""
    process = Path(f"/proc/{pid_of(ca)}")
    limits = (process / "limits").read_text()
    (core,) = [line for line in limits.splitlines() if line.startswith("Max core file size")]
    assert core.split()[4:6] == ["0", "0"]
    assert "Umask:\t0077" in (process / "status").read_text()
    for name in ("cmdline", "environ"):
        content = (process / name).read_bytes()
        assert PASSWORD.encode() not in content
        assert b"PRIVATE KEY" not in content


def test_files_that_a_server_makes_are_its_own__security_9(ca: CA) -> None:
    """Database, write-ahead log and lock are 0600 in directories of 0700."""
    for folder in ("db", "run"):
        assert stat.S_IMODE((ca.home / folder).stat().st_mode) == 0o700
        for path in (ca.home / folder).iterdir():
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_descriptors_come_back__reliability_r11(ca: CA) -> None:
    """After a crowd has left, as many files are open as before it came."""
    ask(ca, "GET", "/health")
    before = descriptors_of(pid_of(ca))
    crowd = [socket.create_connection(("127.0.0.1", ca.port), 5) for _ in range(100)]
    for one in crowd:
        one.close()
    deadline = time.monotonic() + 20
    while descriptors_of(pid_of(ca)) > before + 5:
        assert time.monotonic() < deadline, "connections that were closed stay open"
        time.sleep(0.1)
