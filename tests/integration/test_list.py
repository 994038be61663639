"""`ca list` on a home's database: exact objects, filters, pages."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from ca_world import CA, found
from dayfly.adapters.system import SystemClock
from dayfly.cli import main
from dayfly.config.reading import load_config
from dayfly.core.acme.objects import Certificate
from dayfly.core.ids import make_id
from dayfly.core.step.asked import parse_serial
from dayfly.ports.changes import Changes
from dayfly.wiring.commands import PAGE, opened
from factories import certificate, dns

HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> CA:
    """A CA with certificates of all kinds, one of each, and more than two pages of one owner's."""
    made = found(tmp_path_factory.mktemp("list"))
    now = SystemClock().now().replace(microsecond=0)
    many = [issued(now, 100 + number, owner="fleet", names=(dns(f"n{number}.corp"),)) for number in range(2 * PAGE + 1)]
    rows = (
        issued(now, 1, names=(dns("api.internal.example"), dns("b.internal.example"))),
        issued(now, 2, names=(dns("soon.internal.example"),), not_before=now - 21 * HOUR, not_after=now + 3 * HOUR),
        issued(now, 3, not_before=now - 24 * HOUR, not_after=now - HOUR),
        issued(now, 4, revoked_at=now, revocation_reason=1),
        issued(now, 5, provisioner="", owner="dayfly"),
        *many,
    )

    async def body() -> None:
        async with opened(load_config(made.home)) as store:
            await store.commit(Changes(insert=rows))

    asyncio.run(body())
    return made


def issued(now: datetime, number: int, **changes: object) -> Certificate:
    """A certificate that was issued an hour ago."""
    row_id = make_id(int((now - HOUR).timestamp() * 1000), 0, number)
    defaults = {"not_before": now - HOUR, "not_after": now + 23 * HOUR}
    return certificate(id=row_id, serial=row_id << 96 | number, **(defaults | changes))


Listing = Callable[..., list[dict[str, object]]]


@pytest.fixture
def listing(ca: CA, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Listing:
    """`dayfly ca list --json` with flags."""
    monkeypatch.setenv("DAYFLY_HOME", str(ca.home))

    def run(*flags: str) -> list[dict[str, object]]:
        capsys.readouterr()
        assert main.run(["ca", "list", "--json", *flags]) == 0
        found: list[dict[str, object]] = json.loads(capsys.readouterr().out)
        return found

    return run


def test_an_object_is_that_of_the_interface__interfaces_6(listing: Listing) -> None:
    """Exactly these fields; the serial in decimal as text, and in hex; served is null until the CA looks itself."""
    (one,) = listing("--name", "api.internal.example")
    assert list(one) == [
        "serial", "serial_hex", "names", "not_before", "not_after", "provisioner", "owner", "served",
    ]  # fmt: skip
    assert int(str(one["serial"])) == int(str(one["serial_hex"]), 16)
    assert one["names"] == ["api.internal.example", "b.internal.example"]
    assert (one["provisioner"], one["owner"], one["served"]) == ("acme", "platform-team", None)
    assert str(one["not_after"]).endswith("Z")


def test_what_lives_is_listed_in_pages_in_the_order_of_issue(listing: Listing) -> None:
    """More than two pages come whole, and once."""
    found = listing("--owner", "fleet")
    assert [one["names"] for one in found] == [[f"n{number}.corp"] for number in range(2 * PAGE + 1)]
    assert len(listing()) == 2 * PAGE + 3


def test_filters_narrow_and_all_widens(listing: Listing) -> None:
    """Expiring, owner, provisioner and name; --all brings expired, revoked and the CA's own."""
    assert [one["names"] for one in listing("--expiring", "4h")] == [["soon.internal.example"]]
    assert len(listing("--name", "**.internal.example")) == 2
    assert listing("--provisioner", "nobody") == []
    everything = listing("--all")
    assert len(everything) == 2 * PAGE + 6
    assert sum(one["revoked_at"] is not None for one in everything) == 1
    assert len(listing("--all", "--owner", "dayfly")) == 1


def test_a_table_says_how_many_there_are(
    ca: CA, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line each on standard output, the count beside it."""
    monkeypatch.setenv("DAYFLY_HOME", str(ca.home))
    assert main.run(["ca", "list", "--name", "*.internal.example"]) == 0
    said = capsys.readouterr()
    head, first, second = said.out.splitlines()
    assert head.split() == ["OWNER", "CERTIFICATE", "PROVISIONER", "STATE", "LEFT", "USED", "SERIAL"]
    assert first.split()[:4] == ["platform-team", "api.internal.example", "+1", "acme"]
    assert second.split()[3:5] == ["overdue", "2h"]
    assert parse_serial(first.split()[-1]) >> 96  # as `ca revoke` takes it
    assert said.err == f"2 of {2 * PAGE + 3} certificates.\n"
    assert main.run(["ca", "list", "--all", "--owner", "dayfly"]) == 0
    assert "(the CA)" in capsys.readouterr().out
    assert main.run(["ca", "list", "--owner", "nobody"]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("flags", [("--expiring", "soon"), ("--name", "*.")])
def test_a_filter_that_is_none_is_refused(
    ca: CA, flags: tuple[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 1, with how to write it; an empty list would lie."""
    monkeypatch.setenv("DAYFLY_HOME", str(ca.home))
    assert main.run(["ca", "list", *flags]) == 1
    said = capsys.readouterr()
    assert (said.out, flags[0] in said.err, "next: " in said.err) == ("", True, True)


def test_a_running_ca_lists_what_it_issued(tmp_path: Path) -> None:
    """Beside a running CA: the certificate that a client just got, with the same serial."""
    from cryptography import x509

    from ca_world import NAME, running

    with running(tmp_path) as made:
        made.certificate(NAME, tmp_path)
        leaf = x509.load_pem_x509_certificate((tmp_path / "api.crt").read_bytes())
        (one,) = json.loads(made.dayfly("ca", "list", "--json").stdout)
        assert (one["serial"], one["names"]) == (str(leaf.serial_number), [NAME])
