"""Each row of the black-box checks of the step API has a test that carries its id.

Rules: a test names its rows behind two underscores at the end of its name, as `__t2`, `__t5_t6`; `__t7_to_t13` stands
for those between as well.
"""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
# Tokens, renewals, revocations, public reads: how many rows there are of each.
ROWS = {"t": 21, "n": 15, "x": 8, "p": 5}
_NAME = re.compile(r"def test_\w+?__(\w+)\(")
_IDS = re.compile(r"(?<![a-z0-9])([tnxp])([0-9]+)(?:_to_\1([0-9]+))?(?![a-z0-9])")


def carried() -> set[str]:
    """The ids in the names of all tests."""
    found: set[str] = set()
    for path in TESTS.rglob("test_*.py"):
        for tail in _NAME.findall(path.read_text("utf-8")):
            for letter, first, last in _IDS.findall(tail):
                found |= {f"{letter}{number}" for number in range(int(first), int(last or first) + 1)}
    return found


def test_each_row_of_the_step_checks_has_a_test__security_15() -> None:
    """None is missing."""
    wanted = {f"{letter}{number}" for letter, count in ROWS.items() for number in range(1, count + 1)}
    assert wanted - carried() == set()
