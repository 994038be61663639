"""The command line's manners: exit codes, errors with the next step, JSON, and no stack trace (agent.md 17)."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import click
import pytest

from dayfly.cli import main
from dayfly.cli.files import check_targets, write_file
from dayfly.errors import UsageError
from dayfly.home import resolve_home


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["version"], 0),
        (["--help"], 0),
        (["ca", "--help"], 0),
        (["ca"], 1),
        (["ca", "wibble"], 1),
        (["ca", "certificate"], 1),
        (["ca", "health", "--wibble"], 1),
        (["certificate", "inspect", "absent.pem"], 1),
        (["certificate", "needs-renewal"], 255),
        (["certificate", "needs-renewal", "absent.pem"], 2),
        (["agent"], 2),
        (["agent", "wibble"], 2),
        (["agent", "status", "--home", "absent"], 2),
        (["demo", "--lifetime", "1"], 2),
    ],
)
def test_exit_code_is_the_documented_one__interfaces_5(
    arguments: list[str], code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Verbs that step has know 0 and 1; our own say usage errors with 2."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert main.run(arguments) == code


def test_error_has_what_and_next_and_with_json_an_object(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Words go to standard error, the object to standard output."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("DAYFLY_CA_URL", raising=False)
    assert main.run(["ca", "health", "--json"]) == 1
    said = capsys.readouterr()
    document = json.loads(said.out)
    assert document["error"] == "no CA is named"
    assert "--ca-url" in document["next"]
    assert "error: no CA is named\nnext: " in said.err


def test_unexpected_error_is_one_line_and_255(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No stack trace reaches a person, unless DAYFLY_DEBUG asks for it; values never do."""

    @click.command()
    def broken() -> None:
        raise ZeroDivisionError("a secret value")

    monkeypatch.setattr(main, "_load", lambda _: broken)
    assert main.run(["version"]) == 255
    said = capsys.readouterr().err
    assert "this is a bug" in said
    assert "Traceback" not in said
    assert "secret" not in said
    monkeypatch.setenv("DAYFLY_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        main.run(["version"])


def test_command_whose_extra_is_missing_names_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A base install says what to install for the CA."""

    def missing(_: str) -> None:
        raise ModuleNotFoundError("No module named 'uvloop'", name="uvloop")

    monkeypatch.setattr("dayfly.cli.main.importlib.import_module", missing)
    assert main.run(["ca", "start"]) == 1
    assert "pip install 'dayfly[server]'" in capsys.readouterr().err


def test_home_is_the_flag_else_the_variable_else_the_users(tmp_path: Path) -> None:
    """The order that interfaces.md 1 fixes."""
    assert resolve_home("/a", {"DAYFLY_HOME": "/b"}, tmp_path) == Path("/a")
    assert resolve_home(None, {"DAYFLY_HOME": "/b"}, tmp_path) == Path("/b")
    assert resolve_home(None, {}, tmp_path) == tmp_path / ".dayfly"


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_home_works_before_and_after_the_subcommand__interfaces_1(
    before: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both spellings name the same home."""
    monkeypatch.delenv("DAYFLY_HOME", raising=False)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    home = ["--home", str(tmp_path / "nowhere")]
    command = ["ca", "log", "verify"]
    assert main.run([*home, *command] if before else [*command, *home]) == 1
    assert f"there is no CA in {tmp_path / 'nowhere'}" in capsys.readouterr().err


def test_existing_file_is_kept_off_a_terminal_unless_forced__interfaces_7(tmp_path: Path) -> None:
    """The error names --force; with it the file may be replaced."""
    path = tmp_path / "api.key"
    path.write_text("mine")
    with pytest.raises(UsageError) as caught:
        check_targets((path,), force=False)
    assert "--force" in caught.value.hint
    check_targets((path,), force=True)
    check_targets((tmp_path / "new",), force=False)


@pytest.mark.parametrize("target", ["there/is/none/api.key", "."])
def test_place_that_cannot_hold_a_file_is_refused(tmp_path: Path, target: str) -> None:
    """A missing directory, or a directory in the place, is told before anything is asked of the CA."""
    with pytest.raises(UsageError):
        check_targets((tmp_path / target,), force=True)


def test_written_file_has_its_mode_and_replaces_whole(tmp_path: Path) -> None:
    """0600 from the first octet; a link in the place is replaced, not followed; nothing is left behind."""
    victim, path = tmp_path / "victim", tmp_path / "api.key"
    victim.write_text("mine")
    path.symlink_to(victim)
    write_file(path, b"key", mode=0o600)
    assert (path.read_bytes(), victim.read_text()) == (b"key", "mine")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(one.name for one in tmp_path.iterdir()) == ["api.key", "victim"]


def test_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    """What cannot be written is told, and what was there stays."""
    (tmp_path / "api.key").mkdir()
    with pytest.raises(UsageError, match="cannot be written"):
        write_file(tmp_path / "api.key", b"key", mode=0o600)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["api.key"]


def test_configuration_errors_of_the_agent_are_usage_errors__agent_17() -> None:
    """2 is for usage and missing files, where the verb is ours, wherever --home stands."""
    assert main.exit_codes(["agent", "run"]) == main.OURS
    assert main.exit_codes(["--home", "ca", "agent", "run"]) == main.OURS
    assert main.exit_codes(["ca", "start"]) == main.STEP
    assert main.exit_codes(["--home"]) == main.STEP
    assert main.exit_codes(["certificate", "-v", "needs-renewal"]).other == 255
    assert main.exit_codes(["certificate", "verify"]) == main.STEP
