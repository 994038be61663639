"""The units of deploy/systemd: systemd reads them, finds them tight enough, and what they run works in their bounds.

systemd is never started: it looks at a directory that only this test has, and the commands are run by the test.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509

from ca_world import CA, NAME, PASSWORD, environment, found

UNITS = Path(__file__).parents[2] / "deploy" / "systemd"
EXPOSURE = {"dayfly-ca": 15, "dayfly-agent": 20, "dayfly-renew@": 21, "dayfly-renewd@": 21}
"""Tenths, security.md 13; what renews runs as root, and may give a pair back to its owner."""
Program = Callable[..., str]


@pytest.fixture
def analyze(program: Program) -> str:
    """systemd-analyze; the package brings the units of systemd too, against which ours are read."""
    return program("systemd-analyze", "systemd")


@pytest.fixture
def root(analyze: str, tmp_path: Path) -> Path:
    """A root directory with systemd's own units, ours, and programs by name."""
    del analyze
    where = tmp_path / "root"
    shutil.copytree("/usr/lib/systemd/system", where / "usr/lib/systemd/system", symlinks=True)
    shutil.copytree(UNITS, where / "etc/systemd/system")
    (where / "usr/bin").mkdir()
    for name in ("dayfly", "systemctl", "kill"):
        (where / "usr/bin" / name).write_text("#!/bin/sh\n")
        (where / "usr/bin" / name).chmod(0o755)
    return where


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def settings(unit: str) -> list[tuple[str, str]]:
    """The directives of a unit, in order."""
    lines = (UNITS / unit).read_text().splitlines()
    return [(key, value) for key, _, value in (line.partition("=") for line in lines) if value and key[0] != "#"]


def setting(unit: str, key: str) -> str:
    """The only value of a directive."""
    (value,) = [value for name, value in settings(unit) if name == key]
    return value


def command_of(unit: str, key: str, *, instance: str, places: dict[str, str]) -> list[str]:
    """What the unit runs, its variables and specifiers filled in, and its paths led to those of a test."""
    variables = dict(
        pair.split("=", 1) for name, text in settings(unit) if name == "Environment" for pair in text.split()
    )
    command = [part.replace("%i", instance) for part in shlex.split(setting(unit, key).lstrip("-"))]
    filled = [
        re.sub(r"\$\{(\w+)\}", lambda match: variables[match[1]].replace("%i", instance), part) for part in command
    ]
    for place, instead in places.items():
        filled = [part.replace(place, instead) for part in filled]
    assert filled[0] == "/usr/bin/dayfly"
    return [sys.executable, "-m", "dayfly", *filled[1:]]


# --- what systemd says ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", sorted(path.name for path in UNITS.iterdir()))
def test_systemd_reads_the_unit_without_a_word(analyze: str, root: Path, unit: str) -> None:
    """Every directive is known, every program and every unit that it names is there."""
    found = run(analyze, "verify", "--man=no", f"--root={root}", unit.replace("@.", "@web."))
    assert (found.returncode, found.stdout + found.stderr) == (0, "")


def test_unit_with_a_fault_is_not_passed(analyze: str, root: Path) -> None:
    """An unknown directive and a program that is not there are told."""
    path = root / "etc/systemd/system/dayfly-ca.service"
    path.write_text(path.read_text().replace("PrivateTmp=yes", "PrivateTemp=yes").replace("bin/dayfly", "bin/mayfly"))
    found = run(analyze, "verify", "--man=no", f"--root={root}", "dayfly-ca.service")
    assert "PrivateTemp" in found.stderr
    assert "mayfly" in found.stderr


@pytest.mark.parametrize("unit", EXPOSURE)
def test_exposure_is_small__security_13(analyze: str, unit: str) -> None:
    """At most 1.5 for the CA, 2.0 for the agent."""
    threshold = f"--threshold={EXPOSURE[unit]}"
    found = run(analyze, "security", "--offline=true", "--no-pager", threshold, str(UNITS / f"{unit}.service"))
    assert found.returncode == 0, found.stdout


def test_exposure_without_the_bounds_is_not_passed(analyze: str, tmp_path: Path) -> None:
    """The check can fail: without its system call filter the CA is above the threshold."""
    bare = tmp_path / "bare.service"
    bare.write_text(re.sub(r"SystemCallFilter=.*\n", "", (UNITS / "dayfly-ca.service").read_text()))
    assert run(analyze, "security", "--offline=true", "--no-pager", "--threshold=15", str(bare)).returncode == 1


def test_timer_looks_often_and_not_all_at_once(analyze: str) -> None:
    """Every five minutes, spread over four of them, and what was missed is made up for."""
    assert setting("dayfly-renew@.timer", "Persistent") == "true"
    assert setting("dayfly-renew@.timer", "FixedRandomDelay") == "true"
    looks = run(analyze, "calendar", "--iterations=3", setting("dayfly-renew@.timer", "OnCalendar"))
    minutes = [int(minute) % 5 for minute in re.findall(r"(?:elapse|#\d+): .*? \d\d:(\d\d):00", looks.stdout)]
    assert minutes == [0, 0, 0]


# --- what the units run -----------------------------------------------------------------------------------------------


def allowed_calls(unit: str, analyze: str) -> frozenset[str]:
    """The system calls that a unit allows."""
    sets = run(analyze, "syscall-filter", "--no-pager").stdout
    groups = {
        block[0].strip(): [line.strip() for line in block[1:] if line.strip() and not line.strip().startswith("#")]
        for block in (part.splitlines() for part in re.split(r"\n(?=@)", sets))
    }

    def members(name: str) -> set[str]:
        return {one for line in groups[name] for one in (members(line) if line.startswith("@") else {line})}

    allowed: set[str] = set()
    for key, value in settings(unit):
        if key == "SystemCallFilter":
            named = value.lstrip("~").split()
            chosen = {one for name in named for one in (members(name) if name.startswith("@") else {name})}
            allowed = allowed - chosen if value.startswith("~") else allowed | chosen
    return frozenset(allowed)


def calls_in(trace: Path) -> set[str]:
    """The system calls of a trace."""
    return set(re.findall(r"^\d+ +(?:<\.\.\. )?(\w+)(?:\(| resumed)", trace.read_text(), re.MULTILINE))


@contextlib.contextmanager
def manager(path: Path) -> Iterator[socket.socket]:
    """The socket that the unit's process tells that it is ready."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        one.bind(str(path))
        one.settimeout(60)
        yield one


def test_ca_runs_as_its_unit_says_and_within_its_system_calls(analyze: str, program: Program, tmp_path: Path) -> None:
    """Two workers start by ExecStart, issue and stop, and ask the kernel for nothing that the unit would refuse."""
    strace = program("strace")
    ca = found(tmp_path)
    credential, _, _ = setting("dayfly-ca.service", "LoadCredential").partition(":")
    (tmp_path / "credentials").mkdir(mode=0o700)
    (tmp_path / "credentials" / credential).write_text(PASSWORD + "\n")
    command = command_of("dayfly-ca.service", "ExecStart", instance="", places={})
    command[command.index("--workers") + 1] = "2"
    variables = {
        **environment(tmp_path),
        "DAYFLY_HOME": str(ca.home),
        "CREDENTIALS_DIRECTORY": str(tmp_path / "credentials"),
        "NOTIFY_SOCKET": str(tmp_path / "notify"),
    }
    traced = [strace, "-f", "-qq", "-o", str(tmp_path / "trace"), "-e", "signal=none", *command]
    with manager(tmp_path / "notify") as told, (tmp_path / "ca.log").open("wb") as log:
        ca.process = subprocess.Popen(traced, env=variables, stdin=subprocess.DEVNULL, stderr=log)
        try:
            while b"READY=1" not in told.recv(4096):
                pass
            ca.certificate(NAME, tmp_path)
        finally:
            os.kill(_child_of(ca), 15)
            assert ca.process.wait(timeout=60) == 0
    used = calls_in(tmp_path / "trace")
    assert {"accept4", "clone", "fsync"} & used  # the trace is one of a server
    as_root = {"fchown"} if os.geteuid() == 0 else set()  # of SQLite, which the unit's user never calls
    assert used - allowed_calls("dayfly-ca.service", analyze) <= as_root
    assert re.search(r"PROT_WRITE\|PROT_EXEC", (tmp_path / "trace").read_text()) is None  # MemoryDenyWriteExecute


def _child_of(ca: CA) -> int:
    """The traced process."""
    assert ca.process is not None
    return int(Path(f"/proc/{ca.process.pid}/task/{ca.process.pid}/children").read_text().split()[0])


def test_renewal_pair_renews_when_it_is_due__step(analyze: str, program: Program, tmp_path: Path) -> None:
    """The condition says no for a fresh certificate and for a missing one, yes for a due one; then the pair is new."""
    trace = [program("strace"), "-f", "-qq", "-o", str(tmp_path / "trace"), "-e", "signal=none"]
    ca = found(tmp_path, lifetime=("--x509-min-dur", "10s"))
    ca.start()
    with contextlib.ExitStack() as stack:
        stack.callback(ca.stop)
        home = tmp_path / "etc"
        variables = environment(tmp_path) | {"DAYFLY_HOME": str(home)}
        bootstrap = [sys.executable, "-m", "dayfly", "ca", "bootstrap", "--home", str(home)]
        run(*bootstrap, "--ca-url", ca.url, "--fingerprint", ca.init["fingerprint"])
        (home / "certs").mkdir(exist_ok=True)
        places = {"/etc/dayfly": str(home)}
        condition = command_of("dayfly-renew@.service", "ExecCondition", instance="api", places=places)
        renew = command_of("dayfly-renew@.service", "ExecStart", instance="api", places=places)

        def code(command: list[str]) -> int:
            return subprocess.run(command, env=variables, capture_output=True, check=False, timeout=60).returncode

        assert code(condition) == 2
        ca.certificate(NAME, home / "certs", "--not-after", "15s")
        assert code(condition) == 1
        deadline = time.monotonic() + 60
        while code(condition) != 0:
            assert time.monotonic() < deadline
        before = x509.load_pem_x509_certificate((home / "certs/api.crt").read_bytes())
        if os.geteuid() == 0:
            os.chown(home / "certs/api.key", -1, 1)  # a group that may read it
        assert code([*trace, *renew]) == 0
        assert calls_in(tmp_path / "trace") <= allowed_calls("dayfly-renew@.service", analyze)
        after = x509.load_pem_x509_certificate((home / "certs/api.crt").read_bytes())
        assert after.serial_number != before.serial_number
        assert after.public_key() == before.public_key()
        assert code(condition) == 1
