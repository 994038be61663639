"""A host installs the command line and the agent without a web framework or a database driver."""

from __future__ import annotations

import subprocess
import sys

import pytest

EXTRAS = ("uvicorn", "httptools", "uvloop", "publicsuffixlist", "sqlite3", "dayfly.server", "dayfly.authority")

COMMANDS = (
    ("--help",),
    ("version",),
    ("agent", "--help"),
    ("agent", "status", "--help"),
    ("ca", "bootstrap", "--help"),
    ("ca", "certificate", "--help"),
    ("ca", "renew", "--help"),
    ("ca", "revoke", "--help"),
    ("ca", "roots", "--help"),
    ("ca", "token", "--help"),
    ("certificate", "inspect", "--help"),
)


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_command_loads_only_the_base_install(arguments: tuple[str, ...]) -> None:
    """Commands of the base install load nothing that an extra brings."""
    script = (
        "import sys\n"
        "from dayfly.cli.main import main\n"
        f"sys.argv = ['dayfly', *{arguments!r}]\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert stop.code in (0, None), stop.code\n"
        f"print([name for name in {EXTRAS!r} if name in sys.modules], file=sys.stderr)\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stderr.strip().splitlines()[-1] == "[]"
