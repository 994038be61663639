"""The demo's processes: ours, wherever the demo is called."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from dayfly.cli.demo.stage import Stage


def test_nothing_is_imported_from_the_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else's `dayfly` and `json` lie where the demo is called, and are not run."""
    ran = tmp_path / "ran"
    for name in ("dayfly.py", "json.py"):
        (tmp_path / name).write_text(f"open({str(ran)!r}, 'w').close()\n")
    monkeypatch.chdir(tmp_path)
    with Stage(30) as stage:
        said = stage.dayfly("version", check=False)
        stage.start("other", "dayfly", "version")
        deadline = time.monotonic() + 20
        while not stage.output("other").read_text() and not ran.exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert not ran.exists()
        assert said.returncode == 0
        assert stage.output("other").read_text() == said.stdout
