"""The reference pages say what the code does; a thing without a line there is a failure."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

from dayfly.config.file import File
from dayfly.core import problems
from dayfly.core.problems import Refused

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"


def generator() -> ModuleType:
    """tools/docs.py as a module."""
    spec = importlib.util.spec_from_file_location("dayfly_docs", ROOT / "tools" / "docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["dayfly_docs"] = module
    spec.loader.exec_module(module)
    return module


def page(name: str) -> str:
    """A reference page."""
    return (REFERENCE / name).read_text("utf-8")


def test_commands_page_is_the_help_texts() -> None:
    """Help texts and docs cannot differ: `python tools/docs.py` makes the page anew."""
    assert page("commands.md") == generator().commands_page()


def test_metrics_page_is_what_the_collectors_give() -> None:
    """Every metric of CA and agent has its row: `python tools/docs.py` makes the page anew."""
    assert page("metrics.md") == generator().metrics_page()


def test_doctor_page_is_the_catalogue() -> None:
    """Every code has its page: `python tools/docs.py` makes it anew."""
    assert page("doctor.md") == generator().doctor_page()


def test_advice_page_is_the_table_of_clients() -> None:
    """Every client that is known has its row: `python tools/docs.py` makes the page anew."""
    assert page("client-advice.md") == generator().advice_page()


def keys(shape: type[msgspec.Struct], prefix: str = "") -> list[str]:
    """The paths of all keys of a file's shape."""
    found = []
    for field in msgspec.structs.fields(shape):
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            found += keys(field.type, f"{prefix}{field.name}.")
        else:
            found.append(prefix + field.name)
    return found


@pytest.mark.parametrize("key", keys(File))
def test_every_key_of_ca_toml_is_documented(key: str) -> None:
    """Each key has a row."""
    assert f"| `{key}` |" in page("ca-toml.md")


def problem_types() -> list[str]:
    """The types of all refusals."""
    found = {one.type for one in vars(problems).values() if isinstance(one, type) and issubclass(one, Refused)}
    # Built into the table of problems, raised by what comes later.
    return sorted(
        found - {"alreadyRevoked", "badRevocationReason", "caa", "externalAccountRequired", "userActionRequired"}
    )


@pytest.mark.parametrize("kind", problem_types())
def test_every_problem_type_is_documented(kind: str) -> None:
    """Each type that a client can meet has a row."""
    assert re.search(rf"^\|[^|]*\b{kind}\b", page("problems.md"), re.MULTILINE)


def test_every_route_is_documented() -> None:
    """Each pattern of the routing tables stands in the page."""
    text = page("routes.md")
    source = (ROOT / "src/dayfly/server").glob("*_routes.py")
    for path in source:
        for pattern in re.findall(
            r'\(?"(?:GET|POST|HEAD)", "(/[^"]*)"|^ +\("(/[^"]*)", self', path.read_text("utf-8"), re.MULTILINE
        ):
            route = pattern[0] or pattern[1]
            assert route in text, route


LINK = re.compile(r"\]\((?!https?://)([^)#]+)")


@pytest.mark.parametrize(
    "path", sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]), ids=lambda path: path.name
)
def test_links_lead_somewhere(path: Path) -> None:
    """Every relative link of a page names a file that is there."""
    for target in LINK.findall(path.read_text("utf-8")):
        assert (path.parent / target).exists(), target


@pytest.mark.parametrize("record", sorted((ROOT / "docs/decisions").glob("0*.md")), ids=lambda path: path.name)
def test_decision_record_is_short_and_listed(record: Path) -> None:
    """A record has at most 60 lines and stands in the index."""
    assert record.read_text("utf-8").count("\n") <= 60
    assert record.name in (ROOT / "docs/decisions/README.md").read_text("utf-8")
