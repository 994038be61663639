"""Who is told that a pair is new: checked before, bounded after, and never through a shell (security.md 9)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from dayfly.agent.hooks.command import run_command
from dayfly.agent.hooks.signal import check_pid_file, send_signal
from dayfly.cli.renewing import after
from dayfly.cli.renewing.after import After, AfterError, parse_after
from dayfly.errors import AgentError, UsageError


def flags(**changes: Any) -> dict[str, Any]:
    """No flag but those that a test names."""
    return {"command": None, "pid": None, "pid_file": None, "number": None, **changes}


def tell(what: After, stop: threading.Event | None = None) -> None:
    """Tell it."""
    what.tell(Path("api.crt"), stop or threading.Event())


@pytest.mark.parametrize(
    ("given", "argv"),
    [
        (None, ()),
        ("  ", ()),
        ("/bin/echo 'a b' $HOME;x", ("/bin/echo", "a b", "$HOME;x")),
    ],
)
def test_command_line_is_split_and_never_a_shells(given: str | None, argv: tuple[str, ...]) -> None:
    """Quotes count; variables and semicolons are text."""
    assert parse_after(flags(command=given)).argv == argv


def test_program_is_found_in_the_systems_directories_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PATH of the caller does not decide what runs."""
    evil = tmp_path / "only-here"
    evil.write_text("#!/bin/sh\n")
    evil.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="no program only-here"):
        parse_after(flags(command="only-here"))
    assert parse_after(flags(command="sh -c true")).argv[0].endswith("/sh")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (flags(command="'open"), "cannot be read"),
        (flags(pid=2, pid_file=Path("x")), "twice"),
        (flags(number=1), "--signal takes"),
        (flags(number=999, pid=2), "no signal 999"),
    ],
)
def test_flags_that_say_nothing_are_refused(given: dict[str, Any], says: str) -> None:
    """Before anything is asked of the CA."""
    with pytest.raises(UsageError, match=says):
        parse_after(given)


def test_program_that_others_may_change_is_not_run(tmp_path: Path) -> None:
    """Looked at before the exchange, so that no certificate is spent on it."""
    program = tmp_path / "hook"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o777)
    with pytest.raises(AgentError, match="may be changed by others"):
        After((str(program),)).check()
    with pytest.raises(AgentError, match="not there"):
        After((str(tmp_path / "absent"),)).check()
    with pytest.raises(AgentError, match="pid file"):
        After(pid_file=tmp_path / "absent").check()


def test_program_gets_the_path_and_its_output_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The certificate's path stands in its environment, which holds little else; control characters are escaped."""
    monkeypatch.setenv("DAYFLY_TOKEN", "planted-secret")
    program = tmp_path / "hook"
    program.write_text('#!/bin/sh\nprintf "%s \\033[2J" "$DAYFLY_CERTIFICATE_FILE"\nenv\npwd\n')
    program.chmod(0o755)
    tell(After((str(program),)))
    said = capsys.readouterr().err
    assert str(Path("api.crt").absolute()) in said
    assert "\x1b" not in said
    assert "planted-secret" not in said
    assert said.rstrip().endswith("\\n/")


def test_what_runs_is_what_was_checked__security_9(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link that leads elsewhere once it was looked at changes nothing; the program sees the name it was given."""
    good, evil, link = tmp_path / "good", tmp_path / "evil", tmp_path / "hook"
    for program in (good, evil):
        program.write_text(f"#!/bin/sh\ntouch {program}.ran\n")
        program.chmod(0o755)
    link.symlink_to(good)
    real = os.open

    def switching(path: Any, flags: int, *rest: Any, **named: Any) -> int:
        link.unlink(missing_ok=True)
        link.symlink_to(evil)
        return real(path, flags, *rest, **named)

    stop = threading.Event()
    monkeypatch.setattr("dayfly.agent.hooks.command.os.open", switching)
    run_command((str(link),), environment={}, output=tmp_path / "output", stop=stop, timeout=10)
    assert (Path(f"{good}.ran").exists(), Path(f"{evil}.ran").exists()) == (True, False)
    monkeypatch.undo()
    link.unlink()
    link.symlink_to("/bin/sh")
    named = (str(link), "-c", "echo $0")
    told = run_command(named, environment={}, output=tmp_path / "output", stop=stop, timeout=10)
    assert told.output == f"{link}\n"
    evil.chmod(0o777)
    with pytest.raises(AgentError, match="may be changed by others"):
        run_command((str(evil),), environment={}, output=tmp_path / "output", stop=stop, timeout=10)


@pytest.mark.parametrize(("script", "says"), [("exit 3", "exit 3"), ("sleep 60", "timed out")])
def test_program_that_fails_or_hangs_is_told_and_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, says: str
) -> None:
    """The certificate is new all the same, and the text says so."""
    monkeypatch.setattr(after, "EXEC_WITHIN", 0.3)
    program = tmp_path / "hook"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    with pytest.raises(AfterError, match=f"the certificate is new.*{says}"):
        tell(After((str(program),)))


@pytest.fixture
def process() -> Any:
    """A process that ends with 7 at SIGUSR1."""
    script = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGUSR1, lambda *_: sys.exit(7))\n"
        "print('ready', flush=True)\n"
        "[time.sleep(0.05) for _ in range(1200)]\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        yield child
        child.kill()


@pytest.mark.parametrize("by", ["pid", "pid_file"])
def test_signal_reaches_the_process(process: subprocess.Popen[bytes], tmp_path: Path, by: str) -> None:
    """By number, or by a file that is read when it is due."""
    path = tmp_path / "pid"
    path.write_text(f"{process.pid}\n")
    path.chmod(0o644)
    named = {"pid": process.pid} if by == "pid" else {"pid_file": path}
    tell(parse_after(flags(number=int(signal.SIGUSR1), **named)))
    assert process.wait(10) == 7


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away; CI is root")
@pytest.mark.parametrize("others", ["file", "directory", "behind a link"])
def test_pid_file_of_another_user_is_not_believed__security_9(
    process: subprocess.Popen[bytes], tmp_path: Path, others: str
) -> None:
    """Whoever owns it, or the directory that it lies in, would choose the process."""
    real = tmp_path / "run" / "pid"
    real.parent.mkdir()
    real.write_text(f"{process.pid}\n")
    real.chmod(0o644)
    path = tmp_path / "link" if others == "behind a link" else real
    if path != real:
        path.symlink_to(real)
    check_pid_file(path)
    os.chown(real if others == "file" else real.parent, 12345, -1)
    with pytest.raises(AgentError, match="may be changed by others") as caught:
        check_pid_file(path)
    assert caught.value.reason == "hook-unsafe"
    with pytest.raises(AgentError, match="may be changed by others"):
        send_signal("USR1", path)
    assert process.poll() is None


def test_process_that_is_gone_is_told(tmp_path: Path) -> None:
    """By number and by file."""
    child = subprocess.Popen(["true"])
    child.wait()
    with pytest.raises(AfterError, match="No such process"):
        tell(After(pid=child.pid))
    path = tmp_path / "pid"
    path.write_text(f"{child.pid}\n")
    path.chmod(0o644)
    with pytest.raises(AfterError, match="does not run"):
        tell(After(pid_file=path))
    assert os.getpid() != child.pid
