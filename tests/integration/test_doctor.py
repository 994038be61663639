"""`dayfly doctor` on real homes: each planted fault is found by its code, and a healthy home has none (agent.md 17)."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import http.server
import json
import os
import shutil
import socket
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from ca_world import CA, PASSWORD, dayfly, found
from dayfly.adapters.inspection.server import ask_ready
from dayfly.adapters.stores import open_store
from dayfly.config.addresses import Address
from dayfly.core.doctor.catalogue import Level
from dayfly.core.frozen import replace
from dayfly.core.ids import serial_row_id
from dayfly.core.x509.pem import parse_pem_certificates
from dayfly.errors import ConfigError
from dayfly.ports.changes import Changes
from dayfly.wiring.doctor import Report, Request, examine
from factories import certificate
from secrecy.searching import PLANTED
from small_pki import PKI

# What depends on the machine that the tests run on, and not on the home.
OF_THE_HOST = frozenset({"DF4101", "DF4104", "DF4105", "DF4106", "DF4109"})
INTERMEDIATE, ROOT = "certs/intermediate_ca.crt", "certs/root_ca.crt"
DAY = timedelta(days=1)


def moment() -> datetime:
    """The wall clock: the server and its certificates go by it."""
    return datetime.now(UTC)  # noqa: TID251 - the same clock as the command's


def codes(report: Report) -> set[str]:
    """What is wrong with the home."""
    return {one.code for one in report.findings if one.level in {Level.WARNING, Level.PROBLEM}} - OF_THE_HOST


def look(home: Path, **changes: object) -> set[str]:
    """Examine a home; the codes of what is wrong with it."""
    return codes(examine(replace(Request(home, moment()), **changes)))


def healthy(where: Path) -> CA:
    """A CA as it should stand: root key and provisioner's password elsewhere, no lab settings; not started."""
    (where / "provisioner").write_text("another password\n")
    (where / "provisioner").chmod(0o600)
    ca = found(
        where, "--root-key-out", str(where / "root_key"), "--provisioner-password-file", str(where / "provisioner")
    )
    toml = ca.home / "ca.toml"
    toml.write_text(toml.read_text().partition("[validation]")[0])
    return ca


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> CA:
    """A healthy home to copy from."""
    return healthy(tmp_path_factory.mktemp("model"))


@pytest.fixture
def home(model: CA, tmp_path: Path) -> Path:
    """A copy of the healthy home; nobody serves it."""
    return shutil.copytree(model.home, tmp_path / "ca")


def test_healthy_home_that_is_served_has_no_finding(model: CA) -> None:
    """With the password, the whole log and the server: nothing is wrong, and nothing was left out."""
    model.start()
    try:
        report = examine(Request(model.home, moment(), password=PASSWORD.encode(), deep=True))
        assert codes(report) == set()
        looked = {one.code for one in report.findings if one.level is Level.OK}
        assert looked >= {"DF4001", "DF4007", "DF4012", "DF4107", "DF4202", "DF4206", "DF4207", "DF4212", "DF4215"}
        told = json.loads(model.dayfly("doctor", "--json").stdout)
        assert (told["ok"], told["kind"], told["problems"]) == (True, "ca", 0)
    finally:
        model.stop()


def test_server_whose_certificate_is_of_another_root_is_found(model: CA, tmp_path: Path) -> None:
    """The root in the home is what clients trust: an answer that does not verify under it is none."""
    model.start()
    kept = model.root.read_bytes()
    try:
        (tmp_path / "other").mkdir()
        shutil.copy(found(tmp_path / "other").root, model.root)
        report = examine(Request(model.home, moment()))
        assert codes(report) == {"DF4209", "DF4215"}
        assert any("does not verify" in one.says for one in report.findings)
    finally:
        model.root.write_bytes(kept)
        model.stop()


def test_checkpoint_that_is_not_of_this_log_is_found(model: CA, tmp_path: Path) -> None:
    """The newest note is verified with the log's key, and held against the mark of its size."""

    def says(home: Path) -> str:
        report = examine(Request(home, moment()))
        assert codes(report) == {"DF4212", "DF4214"}
        return next(one.says for one in report.findings if one.code == "DF4212")

    for _ in range(2):  # each signs a checkpoint at its end
        model.start()
        model.stop()
    assert look(model.home) == {"DF4214"}
    forged = shutil.copytree(model.home, tmp_path / "forged")
    sql(forged, "UPDATE log_checkpoints SET note = replace(note, 'ca.internal', 'cb.internal')")
    assert "its newest checkpoint: " in says(forged)
    other = shutil.copytree(model.home, tmp_path / "other")
    sql(other, "DELETE FROM log_checkpoints WHERE size = (SELECT max(size) FROM log_checkpoints)")
    assert look(other) == {"DF4214"}
    sql(other, "UPDATE log_groups SET root = zeroblob(32) WHERE size = (SELECT max(size) FROM log_checkpoints)")
    assert "is not of this log" in says(other)


class Unready(http.server.BaseHTTPRequestHandler):
    """A metrics port whose database check fails, and which answers nothing sensible elsewhere."""

    def do_GET(self) -> None:
        """Answer /readyz as a CA does, with 503."""
        body = b'{"ready":false,"checks":{"db":false,"disk":true}}' if self.path == "/readyz" else b"?"
        self.send_response(503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_failing_check_of_a_server_is_named() -> None:
    """Each check by its name; a port that is closed is told as such."""
    with http.server.HTTPServer(("127.0.0.1", 0), Unready) as server:
        thread = threading.Thread(target=server.handle_request, daemon=True)
        thread.start()
        port = int(server.server_address[1])
        assert ask_ready(Address("127.0.0.1", port)) == (("db",), "")
        thread.join(timeout=10)
    failing, trouble = ask_ready(Address("127.0.0.1", port))
    assert (failing, "refused" in trouble) == ((), True)


def test_nothing_is_changed_by_looking(home: Path) -> None:
    """Not a file, not a time of change, not the database's schema."""
    sql(home, "PRAGMA user_version = 1")

    def state() -> dict[str, tuple[int, int, bytes]]:
        paths = [one for one in home.rglob("*") if one.is_file() and not one.name.endswith(("-wal", "-shm"))]
        return {str(one): (one.stat().st_mode, one.stat().st_mtime_ns, one.read_bytes()) for one in paths}

    before = state()
    assert look(home, deep=True) == {"DF4211", "DF4214"}
    assert state() == before


# --- planted faults ---------------------------------------------------------------------------------------------------


def sql(home: Path, statement: str) -> None:
    """Change the database as somebody who has the disk would."""
    with contextlib.closing(sqlite3.connect(home / "db/dayfly.db")) as connection, connection:
        connection.execute(statement)


def toml(home: Path, old: str, new: str, *, file: str = "ca.toml") -> None:
    """Change a line of ca.toml, or of another file."""
    path = home / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def plain_key(home: Path, target: str) -> None:
    """The intermediate's key in the clear, in a file of mode 0600."""
    key = load_pem_private_key((home / "secrets/intermediate_ca_key").read_bytes(), PASSWORD.encode())
    (home / target).write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (home / target).chmod(0o600)
    (home.parent / PLANTED).write_text(target)


def add(home: Path, name: str, content: bytes = b"x") -> None:
    """A file of mode 0600."""
    (home / name).write_bytes(content)
    (home / name).chmod(0o600)


FAULTS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "a directory that others may write": ("DF4001", lambda home: (home / "certs").chmod(0o777)),
    "the home itself": ("DF4001", lambda home: home.chmod(0o720)),
    "a key that the group may read": ("DF4003", lambda home: (home / "secrets/log_key").chmod(0o640)),
    "the database": ("DF4004", lambda home: (home / "db/dayfly.db").chmod(0o604)),
    "ca.toml": ("DF4005", lambda home: (home / "ca.toml").chmod(0o666)),
    "a directory above": ("DF4006", lambda home: home.parent.chmod(0o777)),
    "the root's key": ("DF4007", lambda home: shutil.copy(home / "secrets/log_key", home / "offline/root_ca_key")),
    "an unencrypted key": ("DF4009", lambda home: plain_key(home, "secrets/intermediate_ca_key")),
    "the provisioner's password": ("DF4010", lambda home: add(home, "secrets/provisioner_password")),
    "a stray key": ("DF4011", lambda home: plain_key(home, "config/copy.pem")),
    "a stray JWK": ("DF4011", lambda home: add(home, "provisioner.json", b'{"kty":"EC","d":"AAAA"}')),
    "a missing key": ("DF4013", lambda home: (home / "secrets/log_key").unlink()),
    "a missing certificate": ("DF4013", lambda home: (home / "certs/log_key.pub").unlink()),
    "a missing database": ("DF4013", lambda home: (home / "db/dayfly.db").unlink()),
    "an open room of secrets": ("DF4014", lambda home: (home / "secrets").chmod(0o755)),
    "an unknown key in ca.toml": ("DF4201", lambda home: toml(home, "version = 1", "version = 1\nwibble = 2")),
    "metrics for everybody": ("DF4205", lambda home: toml(home, 'address = "127.0.0.1:', 'address = ":')),
    "lab settings": ("DF4210", lambda home: toml(home, "[metrics]", "[validation]\nhttp_port = 5002\n[metrics]")),
    "an older schema": ("DF4211", lambda home: sql(home, "PRAGMA user_version = 1")),
    "a newer schema": ("DF4211", lambda home: sql(home, "PRAGMA user_version = 999")),
    "a log that lost its last entry": (
        "DF4212", lambda home: sql(home, "DELETE FROM log_entries WHERE idx = (SELECT max(idx) FROM log_entries)"),
    ),
    "a log without a head": ("DF4212", lambda home: sql(home, "DELETE FROM log_head")),
    "a database that is none": ("DF4213", lambda home: add(home, "db/dayfly.db", b"no database" * 1000)),
    "limits off": ("DF4217", lambda home: toml(home, "[metrics]", "[limits]\nenabled = false\n[metrics]")),
    "no rule": ("DF4218", lambda home: sql(home, "DELETE FROM settings WHERE kind = 'rule'")),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_fault_is_found_by_its_code(fault: str, home: Path) -> None:
    """The fault alone: beside it only that no server runs."""
    code, plant = FAULTS[fault]
    plant(home)
    assert look(home) - {"DF4214"} == {code}


def test_file_of_another_user_is_found(home: Path) -> None:
    """As root's commands leave it in the home of another user."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(home / "certs/root_ca.crt", 12345, -1)
    assert look(home) == {"DF4002", "DF4214"}


def test_keys_are_opened_with_the_password_and_held_against_their_certificate(home: Path) -> None:
    """Another password, another key, and one password for both."""
    assert look(home, password=b"wrong") == {"DF4012", "DF4214"}
    encrypted = (home / "secrets/intermediate_ca_key").read_bytes()
    (home / "secrets/intermediate_ca_key").write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    assert look(home, password=PASSWORD.encode()) == {"DF4009", "DF4012", "DF4214"}
    (home / "secrets/intermediate_ca_key").write_bytes(encrypted)
    add(home, "offline/root_ca_key", encrypted)
    assert look(home, password=PASSWORD.encode()) == {"DF4007", "DF4008", "DF4214"}


def test_password_file_that_others_can_read_is_found(home: Path, tmp_path: Path) -> None:
    """Wherever it lies, by a link too; the cure is offered for it as for any key."""
    add(tmp_path, "password", PASSWORD.encode())
    (tmp_path / "link").symlink_to("password")
    asked = {"password": PASSWORD.encode(), "password_file": tmp_path / "link"}
    assert look(home, **asked) == {"DF4214"}
    (tmp_path / "password").chmod(0o644)
    assert look(home, **asked) == {"DF4003", "DF4214"}


def test_clock_that_went_back_is_found(home: Path) -> None:
    """Before the newest entry; before the root, too."""
    root = x509.load_pem_x509_certificate((home / ROOT).read_bytes())
    sql(home, "UPDATE settings SET body = body")
    assert look(home, now=moment() - timedelta(minutes=10)) >= {"DF4102"}
    assert look(home, now=root.not_valid_before_utc - DAY) >= {"DF4102", "DF4103"}


def test_ends_of_the_certificates_are_told_in_time(home: Path) -> None:
    """As the clock nears them; leaves of a day want two days of intermediate."""
    end = x509.load_pem_x509_certificate((home / INTERMEDIATE).read_bytes()).not_valid_after_utc
    root_end = x509.load_pem_x509_certificate((home / ROOT).read_bytes()).not_valid_after_utc
    assert "DF4207" in look(home, now=end - 29 * DAY)
    assert "DF4208" not in look(home, now=end - 3 * DAY)
    assert {"DF4207", "DF4208"} <= look(home, now=end - DAY)
    assert "DF4206" in look(home, now=root_end - 300 * DAY)
    after = look(home, now=max(end, root_end) + DAY)
    assert {"DF4206", "DF4207"} <= after
    assert "DF4209" not in after


def test_long_leaves_of_an_earlier_intermediate_are_found__acme_10(home: Path) -> None:
    """A leaf that names another key is one; one that names the home's own intermediate is not."""
    now = moment().replace(microsecond=0)
    pki = PKI(now)
    ours = PKI(now)
    ours.intermediate = parse_pem_certificates((home / INTERMEDIATE).read_text())[0]  # in name; nobody verifies it here

    def keep(leaf: x509.Certificate, **changes: Any) -> None:
        async def body() -> None:
            row = certificate(
                id=serial_row_id(leaf.serial_number), serial=leaf.serial_number, der=leaf.public_bytes(Encoding.DER),
                issuer=f"{leaf.serial_number}", not_before=now, not_after=now + 30 * DAY,
            )  # fmt: skip
            row = replace(row, **changes)
            store = await open_store("sqlite:db/dayfly.db", home=home)
            await store.commit(Changes(insert=(row,)))
            await store.close()

        asyncio.run(body())

    keep(ours.leaf(life=30 * DAY))
    keep(ours.leaf(life=30 * DAY), der=b"no certificate")  # which the log tells of
    assert look(home) == {"DF4214"}
    keep(pki.leaf(life=30 * DAY))
    assert look(home) == {"DF4214", "DF4223"}


def test_root_of_another_ca_is_found(home: Path, tmp_path: Path) -> None:
    """The chain does not lead to it."""
    (tmp_path / "other").mkdir()
    other = found(tmp_path / "other")
    shutil.copy(other.root, home / ROOT)
    assert look(home) == {"DF4209", "DF4214"}


@pytest.mark.parametrize(("which", "code"), [("port", "DF4202"), ("metrics", "DF4204")])
def test_port_of_another_process_is_found(which: str, code: str, home: Path, model: CA) -> None:
    """This one's, here: it is named."""
    with socket.create_server(("127.0.0.1", getattr(model, which))):
        report = examine(Request(home, moment()))
    assert codes(report) == {code, "DF4214"}
    (finding,) = [one for one in report.findings if one.code == code]
    assert f"process {os.getpid()}" in finding.says


def test_bit_in_an_old_entry_is_found_by_deep_alone(home: Path) -> None:
    """The quick look is at head and newest checkpoint; all of it takes --deep."""
    sql(home, "UPDATE log_entries SET body = CAST(body || x'00' AS BLOB) WHERE idx = 0")
    assert look(home) == {"DF4214"}
    assert look(home, deep=True) == {"DF4212", "DF4214"}


HUNG = """
import fcntl, os, resource, sys, time
soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
os.umask(0o022)
lock = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
fcntl.flock(lock, fcntl.LOCK_EX)
os.write(lock, f"{os.getpid()}\\n".encode())
print(hard, flush=True)
time.sleep(60)
"""


@pytest.fixture
def hung(home: Path) -> Iterator[int]:
    """A server that holds the lock and answers nobody, with a loose umask; its limit on core dumps."""
    (home / "run").mkdir(mode=0o700, exist_ok=True)
    with subprocess.Popen(
        [sys.executable, "-c", HUNG, str(home / "run/server.lock")], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.kill()


def test_server_that_hangs_and_leaks_is_found(home: Path, hung: int) -> None:
    """It does not answer, makes readable files, and may dump its memory where the limit allows it."""
    dumps = {"DF4107"} if hung else set()
    assert look(home) == {"DF4108", "DF4215", "DF4216", *dumps}


def test_lock_is_looked_at_and_never_taken(home: Path) -> None:
    """A server can start while doctor looks: a lock that nobody holds stays free, and one that is held is seen."""
    (home / "run").mkdir(mode=0o700, exist_ok=True)
    with (home / "run/server.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        assert "DF4214" not in look(home)
        lock.seek(0)
        lock.write("1\n")  # an inode of another file system may have the same number
        lock.truncate()
        lock.flush()
        assert "DF4214" in look(home)
    assert "DF4214" in look(home)


# --- clients and agents -----------------------------------------------------------------------------------------------


AGENT = """
[ca]
directory = "{url}/acme/acme/directory"
root = "{root}"
[cert.api]
names = ["api.internal.example"]
challenge = {{ type = "http-01", listen = "127.0.0.1:5002" }}
targets = ["127.0.0.1:8443"]
"""


def test_client_and_agent_are_examined_as_far_as_it_goes(model: CA, tmp_path: Path) -> None:
    """A served CA and its root: nothing; each fault by its code; an agent that never ran has no certificate."""
    client, agent = tmp_path / "client", tmp_path / "agent"
    agent.mkdir(mode=0o700)
    (agent / "agent.toml").write_text(AGENT.format(url=model.url, root=model.root))
    model.start()
    try:
        where = ("--ca-url", model.url, "--fingerprint", model.init["fingerprint"], "--home", str(client))
        dayfly("ca", "bootstrap", *where, home=tmp_path)
        assert look(client) == set()
        assert look(agent) == {"DF4304", "DF4305"}
    finally:
        model.stop()
    assert look(client) == {"DF4302"}
    assert look(agent) == {"DF4302", "DF4304", "DF4305"}
    shutil.copy(model.home / INTERMEDIATE, client / ROOT)
    assert look(client) == {"DF4301"}
    (client / ROOT).unlink()
    assert look(client) == {"DF4301"}
    (client / "config/defaults.json").write_text("{")
    assert look(client) == {"DF4301"}
    toml(agent, "names", "name", file="agent.toml")
    assert look(agent) == {"DF4303"}
    (agent / "key.pem").write_text("x")
    (agent / "key.pem").chmod(0o640)
    assert look(agent) == {"DF4003", "DF4303"}


# --- the command ------------------------------------------------------------------------------------------------------


def test_command_exits_by_what_it_found_and_fix_corrects_modes__agent_17(home: Path, tmp_path: Path) -> None:
    """1 with a problem, 0 with warnings, 1 for them with --strict, 2 without a home; --fix leaves the rest alone."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return dayfly("doctor", "--home", str(home), *arguments, home=tmp_path, check=False)

    assert run().returncode == 0
    assert run("--strict").returncode == 1
    (home / "secrets/log_key").chmod(0o644)
    (home / "certs").chmod(0o777)
    broken = run()
    assert broken.returncode == 1
    assert "log_key can be read by others (mode 0644)  [DF4003]" in broken.stdout
    assert f"next: chmod 600 {home}/secrets/log_key" in broken.stdout
    assert "2 problems" in broken.stdout
    fixed = run("--fix")
    assert (fixed.returncode, fixed.stderr.count("✔")) == (0, 2)
    assert stat.S_IMODE((home / "secrets/log_key").stat().st_mode) == 0o600
    assert dayfly("doctor", "--home", str(tmp_path), home=tmp_path, check=False).returncode == 2


def test_home_of_another_user_is_refused_in_words(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither half a report nor a stack: closed to this user, or open and not theirs, it says who may look."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    child = os.fork()
    if child == 0:
        os.setuid(65534)
        try:
            examine(Request(home, moment()))
        except ConfigError as error:
            os._exit(0 if error.hint else 3)
        finally:
            os._exit(4)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    os.chown(home, 12345, -1)
    monkeypatch.setattr(os, "geteuid", lambda: 23456)
    with pytest.raises(ConfigError, match="belongs to user 12345"):
        examine(Request(home, moment()))


def test_home_that_waits_for_its_certificate_says_how_to_finish(home: Path) -> None:
    """`ca init --csr-out` leaves such a home; the loader's hint is the next step."""
    (home / "ca.toml").rename(home / "ca.toml.pending")
    (finding,) = [one for one in examine(Request(home, moment())).findings if one.code == "DF4201"]
    assert "--chain-in" in finding.next_step


def test_screen_has_no_colour_off_a_terminal(home: Path, tmp_path: Path) -> None:
    """Nothing but the signs reaches a pipe."""
    assert "\x1b" not in dayfly("doctor", "--home", str(home), home=tmp_path).stdout


def test_explain_knows_every_code_and_no_other(tmp_path: Path) -> None:
    """By itself it lists them; a code that is none is a usage error."""
    listed = dayfly("explain", home=tmp_path).stdout.splitlines()
    assert len(listed) >= 20
    assert "A key file can be read by others" in dayfly("explain", "df4003", home=tmp_path).stdout
    assert json.loads(dayfly("explain", "DF4003", "--json", home=tmp_path).stdout)["level"] == "problem"
    assert dayfly("explain", "DF9999", home=tmp_path, check=False).returncode == 2
