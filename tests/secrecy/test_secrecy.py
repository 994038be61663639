"""The search for secrets finds what is planted, and says nothing of what lies where it belongs (security.md L1, L2)."""

from __future__ import annotations

import base64
import contextlib
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from ca_world import PASSWORD
from factories import ec_key
from secrecy import recording
from secrecy.searching import EXPECTED, search

TESTS = Path(__file__).parents[1]
KEY = ec_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
LOCKED = ec_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PASSWORD.encode()))
TOKEN = b".".join((b"eyJhbGciOiJFUzI1NiIs", b"eyJzdWIiOiJhcGkuaW50", b"c2lnbmF0dXJlLXNpZ25hdHVyZQ"))
KEY_AUTHORIZATION = b"t" * 32 + b"." + b"h" * 43
MADE = b"a-password-that-init-made"


@pytest.fixture
def apart() -> Iterator[Path]:
    """A directory that the session's own search does not see."""
    with tempfile.TemporaryDirectory(prefix="dayfly-planted-") as where:
        yield Path(where)


@pytest.fixture
def base(apart: Path) -> Path:
    """A CA's home, an agent's, a log and a record, with every secret where it belongs."""
    files = {
        "one/ca/ca.toml": b'name = "x"',
        "one/ca/secrets/intermediate_ca_key": LOCKED,
        "one/ca/secrets/provisioner_password": MADE + b"\n",
        "one/ca/offline/root_ca_key": LOCKED,
        "one/ca/db/dayfly.db": b"SQLite format 3\0",
        "one/ca.log": b'{"event":"ready"}\n',
        "two/agent/journal": b"",
        "two/agent/accounts/a.pem": KEY,
        "two/agent/certs/api/gens/000001/key.pem": KEY,
        "two/agent/certs/api/gens/000001/cert.pem": b"-----BEGIN CERTIFICATE-----",
        "two/agent/status.json": b"{}",
        "two/api.key": KEY,
        "recorded/1-000001.stdout": b"# ca token api.internal.example\n" + TOKEN,
        "recorded/1-000002.stderr": b"# ca health\nok\n",
    }
    for name, content in files.items():
        path = apart / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return apart


def findings(base: Path) -> list[str]:
    """What is found, without the directory's name."""
    return [one.replace(f"{base}/", "") for one in search(base, base / "recorded").findings]


def test_search_is_silent_where_all_is_in_its_place(base: Path) -> None:
    """Keys, passwords and tokens where they belong are no finding; both homes were looked at."""
    result = search(base, base / "recorded")
    assert (result.findings, result.homes) == ([], 2)
    assert result.files >= 7


def test_search_finds_the_secret_of_an_external_account_key__security_l1(base: Path) -> None:
    """It belongs to the answer of the command that makes it, and nowhere else."""
    secret = bytes(range(32))
    shown = base64.urlsafe_b64encode(secret).rstrip(b"=")
    database = base / "one" / "ca" / "db" / "dayfly.db"
    database.unlink()
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("CREATE TABLE external_keys (secret BLOB)")
        connection.execute("INSERT INTO external_keys VALUES (?), (?)", (secret, b""))
    (base / "recorded" / "1-000003.stdout").write_bytes(b"# ca eab add acme\n" + shown)
    assert findings(base) == []
    (base / "recorded" / "1-000004.stdout").write_bytes(b"# ca eab list acme\n" + shown)
    (base / "one" / "ca.log").write_bytes(shown)
    found = findings(base)
    assert len(found) == 2
    assert all("a secret of a home" in one for one in found)


@pytest.mark.parametrize(
    ("place", "secret", "kind"),
    [
        ("one/ca.log", PASSWORD.encode(), "a secret of a home"),
        ("one/ca.log", MADE, "a secret of a home"),
        ("one/ca.log", LOCKED, "a private key"),
        ("one/ca.log", TOKEN, "a signed token"),
        ("one/ca.log", KEY_AUTHORIZATION, "a key authorization"),
        ("one/ca.log", b"Authorization: Bearer abc", "an authorization header"),
        ("one/ca/db/dayfly.db", MADE, "a secret of a home"),
        ("one/ca/db/dayfly.db", TOKEN, "a signed token"),
        ("one/ca/run/note", KEY, "a private key"),
        ("two/agent/status.json", KEY.splitlines()[2], "a secret of a home"),
        ("two/agent/journal", KEY_AUTHORIZATION, "a key authorization"),
        ("two/agent/certs/api/gens/000001/meta.json", KEY, "a private key"),
        ("recorded/1-000002.stderr", PASSWORD.encode(), "a secret of a home"),
        ("recorded/1-000003.metrics", b"# 127.0.0.1:1\n" + PASSWORD.encode(), "a secret of a home"),
        ("recorded/1-000004.answer", b"# POST /sign\n" + TOKEN, "a signed token"),
        ("recorded/1-000005.stderr", b"# ca token api\n" + TOKEN, "a signed token"),
    ],
)
def test_search_finds_a_planted_secret__security_l1(base: Path, place: str, secret: bytes, kind: str) -> None:
    """Each kind in each place is one finding that names both, and not the secret."""
    path = base / place
    path.parent.mkdir(exist_ok=True)
    path.write_bytes((path.read_bytes() if path.exists() else b"") + secret)
    found = findings(base)
    assert any(one.startswith(f"{kind} in {place}") for one in found), found
    assert not any(secret.decode() in one for one in found)


@pytest.mark.parametrize("said", [b'{"event":"x","stack": ["ValueError"]}', b"Traceback (most recent call last):\n"])
def test_search_finds_an_error_that_nobody_expected__security_l2(base: Path, said: bytes) -> None:
    """A stack in a log is a finding, unless the test left a reason beside it."""
    (base / "one/ca.log").write_bytes(said)
    assert findings(base) == ["a stack in one/ca.log"]
    (base / "one" / EXPECTED).write_text("this test breaks a handler on purpose")
    assert findings(base) == []


def test_record_keeps_what_was_said_under_its_title(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One file for each; nothing without a directory."""
    monkeypatch.setenv(recording.VARIABLE, str(tmp_path))
    recording.record("ca health", kind="stdout", said="ok\n")
    recording.record("ca health", kind="stderr", said="")
    (kept,) = tmp_path.iterdir()
    assert (kept.suffix, kept.read_text()) == (".stdout", "# ca health\nok\n")
    monkeypatch.delenv(recording.VARIABLE)
    recording.record("ca health", kind="stdout", said="ok\n")
    assert len(list(tmp_path.iterdir())) == 1


LEAK = """
def test_leak(tmp_path):
    (tmp_path / "ca").mkdir()
    (tmp_path / "ca" / "ca.toml").write_text("")
    (tmp_path / "ca" / "notes").write_text({said!r})
"""


@pytest.mark.parametrize(("said", "status"), [("nothing", 0), (PASSWORD, 1)])
def test_session_fails_on_a_planted_leak__security_l1(apart: Path, said: str, status: int) -> None:
    """A suite whose tests all pass is red when one of them let a secret out."""
    (apart / "test_leak.py").write_text(LEAK.format(said=said))
    (apart / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "conftest", "-p", "no:cacheprovider", "-p", "no:randomly"]
    kept = {key: value for key, value in os.environ.items() if key != recording.VARIABLE}
    result = subprocess.run(
        [*command, "-c", str(apart / "pytest.ini"), "--basetemp", str(apart / "base"), str(apart)],
        env=kept | {"PYTHONPATH": f"{TESTS}:{TESTS.parent / 'src'}"}, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert result.returncode == status, result.stdout + result.stderr
    assert ("FOUND a secret of a home" in result.stdout) == bool(status)
    assert "1 passed" in result.stdout
