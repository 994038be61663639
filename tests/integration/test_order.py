"""`ca order` on a home's database: what is listed, in pages, and what one order tells."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ca_world import CA, found
from dayfly.adapters.system import SystemClock
from dayfly.cli import main
from dayfly.cli.order.reading import ROWS
from dayfly.config.reading import load_config
from dayfly.core.acme.authorizations import settle_row
from dayfly.core.acme.challenges import SettledBy, settle
from dayfly.core.acme.objects import Order, OrderStatus
from dayfly.core.frozen import replace
from dayfly.core.ids import make_id, render_id
from dayfly.core.problems import Connection
from dayfly.ports.changes import Changes
from dayfly.wiring.commands import opened
from factories import TOKEN, authorization, certificate, order, shared_authorization
from home_world import Run, Said

HOUR = timedelta(hours=1)
PROVED = SettledBy("http-01", None, address="10.0.0.9:80", attempts=1)
NAMES = ("pending", "ready", "failed", "expired", "valid", "shared")


class Stage:
    """A CA with an order of each kind, and more than a page of another account's."""

    def __init__(self, ca: CA, ids: dict[str, str]) -> None:
        self.ca = ca
        self.ids = ids


def made_at(now: datetime, number: int, **changes: Any) -> Order:
    """An order that was made ten minutes ago."""
    begun = now - timedelta(minutes=10)
    row_id = make_id(int(begun.timestamp() * 1000), 0, number)
    return replace(order(id=row_id, created_at=begun, expires=begun + HOUR), **changes)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """The CA's home, and the ids of the orders by what they are."""
    ca = found(tmp_path_factory.mktemp("orders"))
    now = SystemClock().now().replace(microsecond=0)
    end = now + HOUR
    row = shared_authorization("shared.internal.example", id=make_id(int(now.timestamp() * 1000), 1, 1))
    row = replace(row, authorization=replace(row.authorization, expires=end))
    proved = settle_row(row, PROVED, now=now)
    assert proved is not None
    orders = {
        "pending": made_at(now, 1, authorizations=(authorization("p.internal.example", expires=end),)),
        "ready": made_at(now, 2, authorizations=(authorization("r.internal.example", expires=end),), account_id=8),
        "failed": made_at(
            now, 3, authorizations=(authorization("f.internal.example", expires=end), authorization(expires=end))
        ),
        "expired": made_at(now, 4, expires=now, authorizations=(authorization("e.internal.example", expires=now),)),
        "valid": made_at(now, 5, status=OrderStatus.VALID, certificate_id=certificate().id, provisioner="other"),
        "shared": made_at(now, 6, authorizations=(row.authorization,), user_agent="uacme/1.7.4 (x)"),
    }
    ready = settle(orders["ready"], 0, PROVED, now=now)
    refused = Connection("connecting to 192.0.2.1 port 80: refused")
    failed = settle(orders["failed"], 0, SettledBy("http-01", refused, address="", attempts=5), now=now)
    assert ready is not None
    assert failed is not None
    orders |= {"ready": ready, "failed": failed}
    many = [made_at(now - HOUR, 100 + number, account_id=9, provisioner="fleet") for number in range(ROWS + 1)]

    async def body() -> None:
        async with opened(load_config(ca.home)) as store:
            await store.commit(Changes(insert=(*many, *orders.values(), certificate(), proved)))

    asyncio.run(body())
    return Stage(ca, {name: render_id(one.id) for name, one in orders.items()})


@pytest.fixture
def run(stage: Stage, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """`dayfly ca order ...`."""
    monkeypatch.setenv("DAYFLY_HOME", str(stage.ca.home))

    def go(*arguments: str) -> Said:
        capsys.readouterr()
        code = main.run(["ca", "order", *arguments])
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return go


def listed(run: Run, *flags: str) -> list[str]:
    """The ids that are listed."""
    said = run("list", "--json", *flags)
    assert said.code == 0, said.err
    return [one["order"] for one in json.loads(said.out)]


def test_orders_are_listed_newest_first_as_of_now(run: Run, stage: Stage) -> None:
    """Also those whose rows say something else by now: expired ones, and ones that a shared proof made ready."""
    said = run("list", "--limit", "6", "--json")
    found = json.loads(said.out)
    assert [one["order"] for one in found] == [stage.ids[name] for name in reversed(NAMES)]
    assert [one["state"] for one in found] == ["ready", "valid", "invalid", "invalid", "ready", "pending"]
    assert set(found[0]) == {
        "order", "account", "provisioner", "state", "names", "profile", "created", "expires", "not_before",
        "not_after", "error",
    }  # fmt: skip
    assert found[3]["error"]["subproblems"][0]["name"] == "f.internal.example"
    assert f"--before {stage.ids['pending']}" in said.err


def test_orders_are_filtered(run: Run, stage: Stage) -> None:
    """By account, state, name and provisioner, together where several are given."""
    ids = stage.ids
    assert listed(run, "--account", render_id(8)) == [ids["ready"]]
    assert listed(run, "--account", f"https://ca.internal.example/acme/acme/account/{render_id(8)}") == [ids["ready"]]
    assert listed(run, "--state", "invalid", "--account", render_id(7)) == [ids["expired"], ids["failed"]]
    assert listed(run, "--name", "p.internal.example") == [ids["pending"]]
    assert len(listed(run, "--name", "**.internal.example", "--provisioner", "acme")) == 5
    assert listed(run, "--provisioner", "other") == [ids["valid"]]
    assert listed(run, "--provisioner", "nobody") == []
    assert "No order" in run("list", "--provisioner", "nobody").err


def test_pages_are_bounded_and_together_are_all(run: Run) -> None:
    """Each says where the next one begins; the last one does not."""
    found: list[str] = []
    flags: list[str] = []
    while True:
        said = run("list", "--provisioner", "fleet", "--limit", "200", "--json", *flags)
        found += [one["order"] for one in json.loads(said.out)]
        if not said.err:
            break
        flags = ["--before", said.err.split()[-1]]
    assert len(found) == len(set(found)) == ROWS + 1
    assert found == sorted(found, reverse=True)


def test_an_order_tells_what_went_wrong(run: Run, stage: Stage) -> None:
    """Its cause, and the last error of each challenge, with the tries; no token."""
    said = run("show", stage.ids["failed"])
    assert said.code == 0
    assert "connection: f.internal.example: http-01 failed: connecting to 192.0.2.1 port 80: refused" in said.out
    assert "http-01, 5 tries: connecting to 192.0.2.1" in said.out
    assert TOKEN not in said.out
    found = json.loads(run("show", stage.ids["failed"], "--json").out)
    first, second = found["authorizations"]
    assert (first["state"], first["challenges"][0]["tries"]) == ("invalid", 5)
    assert second["state"] == "pending"
    assert TOKEN not in json.dumps(found)


def test_an_order_tells_how_its_names_were_proved_and_its_serial(run: Run, stage: Stage) -> None:
    """Of a shared authorization too; a finished one names its certificate as `ca list` does."""
    assert "r.internal.example: valid by http-01 at 10.0.0.9:80" in run("show", stage.ids["ready"]).out
    shared = run("show", stage.ids["shared"])
    assert "  asked by uacme/1.7.4 (x)\n" in shared.out
    one = json.loads(run("show", stage.ids["shared"], "--json").out)
    assert (one["client"], one["user_agent"]) == ("uacme 1.7.4", "uacme/1.7.4 (x)")
    assert "ready" in shared.out
    assert "shared as" in shared.out
    assert f"0x{certificate().serial:x}" in run("show", stage.ids["valid"]).out
    found = json.loads(run("show", stage.ids["valid"], "--json").out)
    assert (found["client"], found["user_agent"]) == (None, None)
    assert found["serial_hex"] == f"{certificate().serial:x}"


def test_a_table_has_a_line_for_each(run: Run, stage: Stage) -> None:
    """Names that do not fit are counted."""
    head, *lines = run("list", "--limit", "4").out.splitlines()
    assert head.split() == ["MADE", "STATE", "NAMES", "ACCOUNT", "PROVISIONER", "ORDER"]
    assert [line.split()[-1] for line in lines] == [stage.ids[one] for one in ("shared", "valid", "expired", "failed")]
    assert lines[3].split()[2:4] == ["f.internal.example", "+1"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("list", "--account", "7"),
        ("list", "--before", "x"),
        ("list", "--name", "*."),
        ("show", "x"),
        ("show", "0" * 16),
    ],
)
def test_what_names_nothing_is_refused(run: Run, arguments: tuple[str, ...]) -> None:
    """Exit 1, with what to do; an empty answer would lie."""
    said = run(*arguments)
    assert (said.code, said.out) == (1, "")
    assert "next: " in said.err


def test_the_help_page_of_a_home_that_is_none(tmp_path: Path) -> None:
    """Without a CA there is nothing to list."""
    assert main.run(["ca", "order", "list", "--home", str(tmp_path / "nowhere")]) == 1
