"""`ca policy diff` and `ca policy suggest` on a home with certificates and denials."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ca_world import CA, running

FIRST, SECOND, OUTSIDE = "a.web.internal.example", "b.web.internal.example", "shop.corp.example.net"


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CA]:
    """A CA that gave two names and refused a third."""
    here = tmp_path_factory.mktemp("ca")
    with running(here, hosts=(FIRST, SECOND, OUTSIDE)) as one:
        for name in (FIRST, SECOND):
            one.certificate(name, here, "--force")
        one.certificate(OUTSIDE, here, "--force", check=False)
        yield one


def ask(ca: CA, *arguments: str, code: int = 0) -> dict[str, object]:
    """`ca policy … --json`."""
    done = ca.dayfly("ca", "policy", *arguments, "--json", check=False)
    assert done.returncode == code, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def changes(found: dict[str, object]) -> list[tuple[str, str]]:
    """Kind and name of each difference."""
    rows = found["differences"]
    assert isinstance(rows, list)
    return [(one["change"], one["name"]) for one in rows]


def test_a_rule_that_would_cost_a_name_is_told_with_exit_3(ca: CA) -> None:
    """By name and owner; a person sees a table, and nothing is changed."""
    before = ask(ca, "show")
    found = ask(ca, "diff", "--deny", FIRST, code=3)
    assert changes(found) == [("newly_denied", FIRST)]
    assert (found["complete"], found["requests"]) == (True, 3)
    told = ca.dayfly("ca", "policy", "diff", "--deny", FIRST, check=False)
    assert (told.returncode, FIRST in told.stdout, "newly denied" in told.stdout) == (3, True, True)
    assert "From 2 certificates and 1 denials" in told.stderr
    assert ask(ca, "show") == before


def test_what_would_be_given_is_told_with_exit_0(ca: CA) -> None:
    """A denied name that a rule would give; and what changes nothing."""
    assert changes(ask(ca, "diff", "--allow", OUTSIDE, "--owner", "shop")) == [("newly_allowed", OUTSIDE)]
    assert changes(ask(ca, "diff", "--allow", "far.example.net")) == []
    same = ca.dayfly("ca", "policy", "diff", "--allow", "far.example.net")
    assert (same.stdout, "Nothing that was asked for" in same.stderr) == ("", True)
    assert changes(ask(ca, "diff", "--remove", "r2", "--since", "1h", code=3)) == [
        ("newly_denied", FIRST),
        ("newly_denied", SECOND),
    ]


def test_rules_of_a_file_are_compared_as_a_whole(ca: CA, tmp_path: Path) -> None:
    """What `show` prints changes nothing; what `suggest` prints costs nothing that was given."""
    (tmp_path / "now.json").write_text(ca.dayfly("ca", "policy", "show", "--json").stdout)
    assert changes(ask(ca, "diff", "--file", str(tmp_path / "now.json"))) == []
    suggested = ca.dayfly("ca", "policy", "suggest", "--json", "--denials", "--wide", "2").stdout
    (tmp_path / "new.json").write_text(suggested)
    assert {one["pattern"] for one in json.loads(suggested)["rules"]} == {"*.web.internal.example", OUTSIDE}
    assert changes(ask(ca, "diff", "--file", str(tmp_path / "new.json"))) == [("newly_allowed", OUTSIDE)]


def test_what_is_suggested_are_commands_that_run(ca: CA) -> None:
    """One a line on standard output, each of which makes its rule; words go to standard error."""
    told = ca.dayfly("ca", "policy", "suggest")
    lines = told.stdout.splitlines()
    assert [line.split()[4] for line in lines] == [FIRST, SECOND]
    assert all(line.startswith("dayfly ca policy allow ") for line in lines)
    assert "rules.json" in told.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("diff",), "no other rules are named"),
        (("diff", "--file", "/nowhere/rules.json"), "cannot be read"),
        (("diff", "--file", "x", "--deny", "a.b"), "--file has all of the rules"),
        (("diff", "--deny", "a.b", "--since", "soon"), "--since"),
        (("diff", "--remove", "r99"), "there is no rule r99"),
        (("suggest", "--since", "a week"), "--since"),
    ],
)
def test_what_makes_no_question_is_refused(ca: CA, arguments: tuple[str, ...], says: str) -> None:
    """With the reason, and what to write."""
    done = ca.dayfly("ca", "policy", *arguments, check=False)
    assert (done.returncode != 0, says in done.stderr) == (True, True), done.stderr
