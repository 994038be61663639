"""What every command owes its reader: --json, --home, examples that parse, and a tab that completes."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from dayfly.cli.examples import EXAMPLES
from dayfly.cli.main import cli, run
from small_pki import PKI

# Commands without --json or --home, and why.
NO_JSON = {
    "ca start": "it runs on, and logs JSON lines where standard error is no terminal",
    "demo": "a show for people",
}
NO_HOME = {
    "completion": "the same in every home",
    "demo": "it makes homes of its own, and removes them",
    "version": "the same in every home",
}


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Every command that is no group, by its path."""
    context = click.Context(command, info_name=" ".join(path))
    if not isinstance(command, click.Group):
        yield " ".join(path), command
        return
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        assert inner is not None
        yield from leaves(inner, (*path, name))


COMMANDS = dict(leaves(cli))


def flags(command: click.Command) -> set[str]:
    """Its options as they are written."""
    return {flag for one in command.params for flag in one.opts}


@pytest.mark.parametrize("path", COMMANDS)
def test_command_has_json_and_home_or_a_reason(path: str) -> None:
    """`--json` on every command, `--home` behind every one (interfaces.md 1, style.md)."""
    found = flags(COMMANDS[path])
    assert ("--json" in found) != (path in NO_JSON)
    assert ("--home" in found) != (path in NO_HOME)


@pytest.mark.parametrize("path", COMMANDS)
def test_command_has_a_help_with_an_example(path: str) -> None:
    """A sentence, every visible option explained, and a line to change and run."""
    command = COMMANDS[path]
    assert command.help
    hidden = {"--format"}  # its choices say it
    options = [one for one in command.params if isinstance(one, click.Option) and not one.hidden]
    assert [one.opts for one in options if not one.help and not hidden & set(one.opts)] == []
    shown = command.get_help(click.Context(command, info_name=f"dayfly {path}"))
    assert EXAMPLES[path][0] in shown


def test_every_example_is_that_of_a_command() -> None:
    """A command that was renamed leaves no line behind."""
    assert set(EXAMPLES) == set(COMMANDS)


@pytest.mark.parametrize(
    ("path", "line"), [(path, line) for path, lines in EXAMPLES.items() for line in lines], ids=str
)
def test_example_parses_as_it_stands(path: str, line: str) -> None:
    """Options and arguments are those that the command takes."""
    words = shlex.split(line.removeprefix("source <(").removesuffix(")"))
    assert words[: 1 + len(path.split())] == ["dayfly", *path.split()]
    COMMANDS[path].make_context(path, words[1 + len(path.split()) :])


# --- completion -------------------------------------------------------------------------------------------------------


LIMIT = 110  # seconds; a busy machine takes a while for each program, and one that hangs takes for ever


@pytest.fixture(scope="module")
def bash_script() -> str:
    """What `dayfly completion bash` prints."""
    asked = [sys.executable, "-m", "dayfly", "completion", "bash"]
    return subprocess.run(asked, capture_output=True, text=True, timeout=LIMIT, check=True).stdout


def complete(begin: str, *words: str) -> list[str]:
    """What bash offers for the last of these words, once it has begun so."""
    variables = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    script = begin + '\nCOMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
    script += '_dayfly_completion dayfly; printf "%s\\n" "${COMPREPLY[@]}"'
    asked = ["bash", "--norc", "-c", script, "bash", *words]
    result = subprocess.run(
        asked, env=variables, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT, check=True
    )
    assert result.stderr == ""
    return result.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("dayfly", "certificate", "ins"), ["inspect", "install"]),
        (("dayfly", "ca", "log", ""), ["verify"]),
        (("dayfly", "completion", "z"), ["zsh"]),
        (("dayfly", "certificate", "needs-renewal", "--exp"), ["--expires-in"]),
        (("dayfly", "ca", "policy", "s"), ["show", "suggest"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_bash_completes_commands_and_options(words: tuple[str, ...], offered: list[str], bash_script: str) -> None:
    """Groups, their commands, choices, long options."""
    assert complete(bash_script, *words) == offered


def test_bash_takes_the_script_as_the_manual_says() -> None:
    """`source <(dayfly completion bash)`, and a tab completes."""
    assert complete("source <(dayfly completion bash)", "dayfly", "ca", "pro") == ["provisioner"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_a_script(shell: str) -> None:
    """Which asks the same command by the same variable."""
    asked = [sys.executable, "-m", "dayfly", "completion", shell]
    script = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=True).stdout
    assert f"_DAYFLY_COMPLETE={shell}_complete" in script


def test_tab_on_a_group_loads_none_of_its_commands() -> None:
    """A tab answers at once, and where an extra is not installed."""
    script = (
        "import sys, click; from dayfly.cli.main import cli\n"
        "context = click.Context(cli, info_name='dayfly'); group = cli.get_command(context, 'ca')\n"
        "print(len(group.shell_complete(click.Context(group, info_name='ca', parent=context), '')))\n"
        "print([name for name in sys.modules if name.startswith('dayfly.cli.ca_')], 'cryptography' in sys.modules)\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    count, loaded = result.stdout.splitlines()
    assert int(count) >= 10
    assert loaded == "[] False"


def test_tab_on_a_command_that_cannot_load_says_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A missing extra is told when the command is run, and not between two keys."""

    def missing(_: str) -> None:
        raise ModuleNotFoundError("No module named 'uvloop'", name="uvloop")

    monkeypatch.setattr("dayfly.cli.main.importlib.import_module", missing)
    for name, value in (
        ("_DAYFLY_COMPLETE", "bash_complete"),
        ("COMP_WORDS", "dayfly ca start -"),
        ("COMP_CWORD", "3"),
    ):
        monkeypatch.setenv(name, value)
    assert run([]) == 1
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "")


HEAVY = ("asyncio", "cryptography", "http.client", "msgspec", "prometheus_client", "ssl", "uvloop", "dayfly.client")


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        (["--help"], set()),
        (["ca", "--help"], set()),
        (["version"], set()),
        (["certificate", "needs-renewal", "root.crt"], {"cryptography"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_quick_commands_load_no_more_than_they_need(arguments: list[str], allowed: set[str], tmp_path: Path) -> None:
    """What makes a start slow stays out: help in 120 ms, an answer to a timer in 200 ms (bench/startup.py)."""
    (tmp_path / "root.crt").write_text(PKI().root_pem)
    script = (
        "import sys; from dayfly.cli.main import run\n"
        f"code = run({arguments!r})\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], code, file=sys.stderr)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
    )
    assert result.stderr.splitlines()[-1] == f"{sorted(allowed)} {int(bool(allowed))}"
