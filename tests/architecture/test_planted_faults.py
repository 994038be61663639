"""The import contracts hold, and each of eight planted faults is refused (architecture.md 3)."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

FAULTS = {
    "core imports time": ("core/ids.py", "import time\n"),
    "agent imports server": ("agent/__init__.py", "import dayfly.server.app\n"),
    "agent imports authority": ("agent/__init__.py", "import dayfly.authority.orders\n"),
    "server imports a store": ("server/app.py", "import dayfly.adapters.stores\n"),
    "x509 imports acme": ("core/x509/profile.py", "import dayfly.core.acme.objects\n"),
    "a signer imports authority": ("adapters/signers/keyfile.py", "import dayfly.authority.issuing\n"),
    "authority imports a signer": ("authority/issuing.py", "import dayfly.adapters.signers.keyfile\n"),
}


def lint(tree: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter in a copy of the project."""
    program = Path(sys.executable).parent / "lint-imports"
    environment = {"PYTHONPATH": str(tree / "src"), "PATH": "/usr/bin:/bin", "HOME": str(tree)}
    return subprocess.run(
        [str(program), "--no-cache"], cwd=tree, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the package and its contracts."""
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path / "pyproject.toml")
    return tmp_path


def plant(tree: Path, name: str, statement: str) -> None:
    """Put an import at the end of a module, where no other rule is in the way."""
    path = tree / "src" / "dayfly" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    text = path.read_text("utf-8") if path.exists() else '"""A room."""\n'
    path.write_text(text + "\n" + statement, "utf-8")


def test_contracts_hold_in_the_tree_as_it_is(tree: Path) -> None:
    """The tree as it is breaks no contract."""
    result = lint(tree)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_fault_is_refused(tree: Path, fault: str) -> None:
    """A forbidden import breaks a contract."""
    plant(tree, *FAULTS[fault])
    result = lint(tree)
    assert result.returncode == 1, result.stdout
    assert "BROKEN" in result.stdout


def test_new_room_must_choose_its_floor(tree: Path) -> None:
    """A room that no floor lists is refused."""
    plant(tree, "attic/__init__.py", "")
    result = lint(tree)
    assert result.returncode == 1, result.stdout
    assert "attic" in result.stdout
