"""A CA's home for commands: founded once, copied for each test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ca_world import CA, found
from dayfly.cli import main
from home_world import Run, Said


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> CA:
    """A CA that nobody changes or starts."""
    return found(tmp_path_factory.mktemp("original"))


@pytest.fixture
def run(original: CA, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `dayfly ca ...` in this process on a copy of the CA."""
    shutil.copytree(original.home, tmp_path / "ca")
    monkeypatch.setenv("DAYFLY_HOME", str(tmp_path / "ca"))

    def go(*arguments: str) -> Said:
        capsys.readouterr()
        code = main.run(["ca", *arguments])
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return go
