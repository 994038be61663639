"""The page about systemd names what is there."""

from __future__ import annotations

import re
from pathlib import Path

from dayfly.cli.main import run

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/how-to/run-under-systemd.md").read_text("utf-8")
UNITS = ROOT / "deploy/systemd"


def test_page_names_every_unit_and_no_other() -> None:
    """What is installed is in the tree, and what is in the tree is installed."""
    named = {Path(name).name for name in re.findall(r"deploy/systemd/[\w@.-]+\w", PAGE)}
    assert named == {path.name for path in UNITS.iterdir()}


def test_paths_and_users_are_those_of_the_units() -> None:
    """Home, password file and user of the page are what the units expect."""
    unit = (UNITS / "dayfly-ca.service").read_text("utf-8")
    assert "DAYFLY_HOME=/var/lib/dayfly " in unit
    assert "--home /var/lib/dayfly " in PAGE
    assert "LoadCredential=key-password:/etc/dayfly/key-password" in unit
    assert "> /etc/dayfly/key-password" in PAGE
    for name in ("dayfly-ca.service", "dayfly-agent.service"):
        user = re.search(r"^User=(.+)$", (UNITS / name).read_text("utf-8"), re.MULTILINE)
        assert user is not None
        assert f"nologin {user[1]}\n" in PAGE


def test_commands_of_the_page_are_known() -> None:
    """Each `dayfly` command there has a help text, and each option stands in it."""
    import contextlib
    import io

    for line in re.findall(r"(?<![/\w-])dayfly ((?:ca|certificate) [^`\n]*)", PAGE):
        words = line.split()
        depth = 3 if words[1] == "provisioner" else 2
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown), contextlib.suppress(SystemExit):
            assert run([*words[:depth], "--help"]) == 0, line
        for option in re.findall(r"(?<=\s)--[a-z-]+", line):
            assert option in shown.getvalue(), (line, option)
