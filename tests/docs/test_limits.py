"""The page on limits is true: its figures are the code's, and its commands run."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import Field, fields
from pathlib import Path

import pytest

from ca_world import NAME, dayfly, running
from dayfly.core.policy.limits import DEFAULT_FIGURES, LimitFacts, LimitFigures, Rate, facts_of
from docs.test_tutorial import scripts
from factories import CA_TOML

FACTS = facts_of(DEFAULT_FIGURES)
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "limits.md"
TEXT = PAGE.read_text("utf-8")
KEYS = (PAGE.parent / "ca-toml.md").read_text("utf-8")


@pytest.mark.parametrize("fact", FACTS, ids=lambda one: one.limit)
def test_every_limit_stands_on_the_page_with_its_figure(fact: LimitFacts) -> None:
    """By its name and how many."""
    assert f"`{fact.limit}`" in TEXT
    assert f"{fact.count:,}" in TEXT


@pytest.mark.parametrize("one", fields(LimitFigures), ids=lambda one: one.name)
def test_every_figure_stands_among_the_keys_with_its_default__acme_13(one: Field[object]) -> None:
    """As ca.toml takes it."""
    default = getattr(DEFAULT_FIGURES, one.name)
    written = f'`"{default}"`' if isinstance(default, Rate) else str(default)
    assert f"| `limits.{one.name}` | {written} |" in KEYS


def test_the_example_on_the_page_is_taken_and_shown(tmp_path: Path) -> None:
    """Its figures are not the defaults, and `dayfly ca limits show` has the ones that hold."""
    (example,) = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
    (tmp_path / "ca.toml").write_bytes(CA_TOML + example.encode())
    table = tomllib.loads(example)["limits"]
    shown = json.loads(dayfly("ca", "limits", "show", "--json", "--home", str(tmp_path), home=tmp_path).stdout)[
        "limits"
    ]
    found = {one["limit"].replace("-", "_"): one for one in shown}
    assert (found["new_orders"]["most"], found["new_orders"]["seconds"]) == (6_000, 10_800)
    for key, written in table.items():
        assert found[key]["most"] == int(str(written).partition("/")[0]) != facts_by_key()[key].count


def facts_by_key() -> dict[str, LimitFacts]:
    """The defaults by key."""
    return {one.limit.replace("-", "_"): one for one in FACTS}


def test_limits_are_shown_and_a_pause_is_lifted_beside_the_running_ca(tmp_path: Path) -> None:
    """As written, for an account that is there; twice does no harm; one that is not there is an error."""
    (script,) = scripts(TEXT)
    showing, unpausing = script.splitlines()
    with running(tmp_path) as ca:
        ca.certificate(NAME, tmp_path)
        shown = json.loads(ca.dayfly(*showing.split()[1:], "--json").stdout)
        assert (shown["enabled"], len(shown["limits"])) == (True, len(FACTS))
        assert "new-orders" in ca.dayfly(*showing.split()[1:]).stdout
        ((account_id,),) = ca.sql("SELECT id FROM accounts")
        for _ in range(2):
            done = ca.dayfly(*unpausing.replace("00000b1e5f400000", f"{account_id:016x}").split()[1:], "--json")
            assert json.loads(done.stdout)["names"] == ["shop.web.example.net"]
        missing = ca.dayfly(*unpausing.split()[1:], check=False)
        assert missing.returncode == 1
    odd = dayfly("ca", "limits", "unpause", "somebody", "a.b", home=ca.home, check=False)
    assert (odd.returncode, "is no id of an account" in odd.stderr) == (1, True)
