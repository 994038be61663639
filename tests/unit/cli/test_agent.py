"""`dayfly agent run` refuses what means nothing there."""

from __future__ import annotations

from pathlib import Path

import pytest

from dayfly.cli.main import run


def test_json_is_for_one_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An agent that runs on has no end to tell."""
    assert run(["agent", "run", "--json", "--home", str(tmp_path)]) == 2
    assert "--json is for --once" in capsys.readouterr().err
