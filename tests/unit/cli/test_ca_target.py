"""Which CA a client command means: flag, environment, home, in this order (step-compat.md part 11)."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest

from dayfly.cli import main
from dayfly.cli.ca_target import Target, find_ca, not_taken
from dayfly.errors import ClientError, UsageError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A client's home that names a CA and its root."""
    for name in ("DAYFLY_CA_URL", "DAYFLY_ROOT", "DAYFLY_HOME"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "config").mkdir()
    document = {"ca-url": "https://home.example:9000/", "root": "/home/root.pem", "other": 1}
    (tmp_path / "config" / "defaults.json").write_text(json.dumps(document))
    return tmp_path


def test_flag_goes_before_environment_before_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each value by itself comes from the first place that has it."""
    assert find_ca(str(home), None, None) == Target("https://home.example:9000", Path("/home/root.pem"))
    monkeypatch.setenv("DAYFLY_CA_URL", "https://env.example")
    assert find_ca(str(home), None, None) == Target("https://env.example", Path("/home/root.pem"))
    monkeypatch.setenv("DAYFLY_ROOT", "/env/root.pem")
    assert find_ca(str(home), None, None) == Target("https://env.example", Path("/env/root.pem"))
    assert find_ca(str(home), "flag.example:9000", Path("f.pem")) == Target("https://flag.example:9000", Path("f.pem"))


def test_ca_that_is_not_named_is_an_error_with_the_next_step(tmp_path: Path, home: Path) -> None:
    """Neither URL nor root is ever guessed."""
    with pytest.raises(UsageError, match="no CA is named"):
        find_ca(str(tmp_path / "empty"), None, None)
    with pytest.raises(UsageError, match="no root certificate is named") as caught:
        find_ca(str(tmp_path / "empty"), "https://a.example", None)
    assert "bootstrap" in caught.value.hint
    with pytest.raises(ClientError, match="no plain https URL"):
        find_ca(str(home), "http://a.example", None)


@pytest.mark.parametrize("content", ["{", "[1]", '{"ca-url": 7}'])
def test_damaged_defaults_are_never_guessed_at(home: Path, content: str) -> None:
    """What is no JSON is an error; what has other shapes names nothing."""
    (home / "config" / "defaults.json").write_text(content)
    with pytest.raises(UsageError):
        find_ca(str(home), None, None)


def test_flag_that_means_what_we_do_not_have_is_refused_with_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    """It is never silently ignored."""
    for arguments in (["ca", "health", "--context", "x"], ["ca", "bootstrap", "--team", "x"]):
        assert main.run(arguments) == 1
        assert f"{arguments[2]} is not taken: " in capsys.readouterr().err


def test_refused_flag_is_no_part_of_the_help() -> None:
    """It is known, and not offered."""

    @click.command()
    @not_taken("--kms", "keys live in files")
    def command() -> None:
        """Nothing."""

    assert "--kms" not in command.get_help(click.Context(command))
