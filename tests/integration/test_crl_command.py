"""`ca crl` in a CA's home, and what a provisioner may give with CRLs and without."""

from __future__ import annotations

import asyncio
import os
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from dayfly.adapters.system import SystemClock
from dayfly.config.reading import load_config
from dayfly.core.x509.partitions import partition_of, render_partition
from dayfly.ports.crls import CRLHead, StoredCRL
from dayfly.wiring.commands import opened
from home_world import Run

HOUR = timedelta(hours=1)


def switch_on() -> None:
    """`[crl]` in the home's ca.toml."""
    with (Path(os.environ["DAYFLY_HOME"]) / "ca.toml").open("a") as toml:
        toml.write('\n[crl]\naddress = ":9080"\n')


def store(day: int, end: datetime) -> str:
    """A CRL of so many days from now; the partition's name."""
    partition = partition_of(SystemClock().now()) + day

    async def body() -> None:
        async with opened(load_config(Path(os.environ["DAYFLY_HOME"]))) as store:
            head = CRLHead(partition, 1_795_000_000, end - HOUR, end, 3, b"d" * 32)
            await store.crls.keep(StoredCRL(head, b"the list"), after=0)

    asyncio.run(body())
    return render_partition(partition)


def test_crls_that_are_off_say_how_to_have_them(run: Run) -> None:
    """Nothing is there to be listed."""
    said = run("crl")
    assert (said.code, "[crl] address" in said.err) == (1, True)


def test_crls_are_listed_and_written__interfaces_6(run: Run, tmp_path: Path) -> None:
    """One line or object each; files are as they were signed; none at all is no error."""
    switch_on()
    assert (run("crl").code, run("crl", "--json").json) == (0, [])
    end = SystemClock().now().replace(microsecond=0) + HOUR
    name = store(20, end)
    url = f"http://ca.internal.example:9080/crl/{name}.crl"
    (one,) = run("crl", "--json", "--out", str(tmp_path / "lists")).json
    assert one == {
        "partition": name, "number": "1795000000", "entries": 3, "this_update": f"{end - HOUR:%Y-%m-%dT%H:%M:%SZ}",
        "next_update": f"{end:%Y-%m-%dT%H:%M:%SZ}", "url": url, "stale": False,
    }  # fmt: skip
    assert (tmp_path / "lists" / f"{name}.crl").read_bytes() == b"the list"
    said = run("crl")
    assert said.out.splitlines()[1].split() == [name, "1795000000", "3", one["this_update"], one["next_update"], url]


def test_stale_crl_is_a_failure(run: Run) -> None:
    """Its name is said, and the exit code is 1: the list was there to be kept fresh."""
    switch_on()
    name = store(20, SystemClock().now().replace(microsecond=0) - HOUR)
    said = run("crl")
    assert (said.code, f"stale: {name}" in said.err) == (1, True)
    assert run("crl", "--json").code == 1


@pytest.mark.parametrize(("length", "code"), [("168h", 0), ("168h0m1s", 1), ("720h", 1)])
def test_above_seven_days_needs_crls__acme_10(run: Run, length: str, code: int) -> None:
    """Refused with the line that switches them on, and taken once they are."""
    said = run("provisioner", "update", "platform-team", "--x509-max-dur", length)
    assert said.code == code
    assert ("[crl] address" in said.err) is bool(code)
    switch_on()
    assert run("provisioner", "update", "platform-team", "--x509-max-dur", length).code == 0
    above = run("provisioner", "update", "platform-team", "--x509-max-dur", "9553h")
    assert (above.code, "ceiling is 398d" in above.err) == (1, True)
