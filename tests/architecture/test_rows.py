"""Each row of rows.toml is held by tests that exist, or says what is open."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

TESTS = Path(__file__).parents[1]
ROWS = tomllib.loads((Path(__file__).parent / "rows.toml").read_text("utf-8"))
PAGE = TESTS.parent / "docs" / "explanation" / "what-is-held.md"
MUST = {
    *(f"R{number}" for number in range(1, 7)),
    *(f"H{number}" for number in range(1, 12)),
    *(f"V{number}" for number in range(1, 24)),
    *(f"D{number}" for number in range(1, 18)),
    *(f"J{number}" for number in range(1, 36)),
    *(f"O{number}" for number in range(1, 19)),
    *(f"F{number}" for number in range(1, 22)),
    *(f"C{number}" for number in range(1, 6)),
    "L1",
    "L2",
    "L5",
    "L7",
}


def names_of_tests() -> set[str]:
    """Every test function there is."""
    trees = [ast.parse(path.read_text("utf-8")) for path in TESTS.rglob("test_*.py")]
    return {node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_rows_are_held_by_tests_that_exist__reliability_10() -> None:
    """A row names at least one test, and no test that is gone."""
    known = names_of_tests()
    assert len(known) > 500
    for row, entry in ROWS.items():
        assert set(entry) <= {"what", "tests", "open"}, row
        assert entry["tests"], row
        assert [name for name in entry["tests"] if name not in known] == [], row
    assert set(ROWS) >= MUST


def test_page_tells_every_row() -> None:
    """What the table says, the page says in the same words; what is open too."""
    text = PAGE.read_text("utf-8")
    for row, entry in ROWS.items():
        assert f"| {row} | {entry['what']} | {entry.get('open', '')} |" in text, row
