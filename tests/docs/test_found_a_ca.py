"""The page about founding a CA is run as it stands."""

from __future__ import annotations

from pathlib import Path

from docs.test_tutorial import scripts, shell

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "found-a-ca.md"


def test_every_way_to_found_a_ca_works_as_written(tmp_path: Path) -> None:
    """New root, existing root, root elsewhere, constraints: each block runs, and each home is a CA at the end."""
    shown = [shell(script, tmp_path) for script in scripts(PAGE.read_text("utf-8"))]
    assert "DNS:internal.example" in shown[-1].stdout
    for home in ("new", "under", "subordinate", "constrained"):
        assert (tmp_path / home / "ca.toml").exists()
        assert (tmp_path / home / "config/defaults.json").exists()
    assert not (tmp_path / "under/offline/root_ca_key").exists()
