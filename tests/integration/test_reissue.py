"""`dayfly ca reissue` on a home's database: whom it means, what it says, what clients are told then."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ca_world import CA, found
from dayfly.adapters.system import SystemClock
from dayfly.cli import main
from dayfly.config.reading import load_config
from dayfly.core.acme.objects import Certificate
from dayfly.core.fleet.reissuing import find_reissue, turn_of
from dayfly.core.ids import make_id
from dayfly.core.settings.revisions import Settings
from dayfly.ports.changes import Changes
from dayfly.wiring.commands import opened, read_settings_of
from factories import certificate, dns
from small_pki import PKI

HOUR = timedelta(hours=1)
Run = Callable[..., tuple[int, Any]]


def issued(now: datetime, number: int, **changes: object) -> Certificate:
    """A certificate that was issued an hour ago."""
    row_id = make_id(int((now - HOUR).timestamp() * 1000), 0, number)
    defaults = {"not_before": now - HOUR, "not_after": now + 23 * HOUR}
    return certificate(id=row_id, serial=row_id << 96 | number, **(defaults | changes))


@pytest.fixture(scope="module")
def rows() -> tuple[Certificate, ...]:
    """Four that live, one that does not, one of the CA's own."""
    now = SystemClock().now().replace(microsecond=0)
    return (
        issued(now, 1, names=(dns("api.internal.example"),)),
        issued(now, 2, names=(dns("a.web.internal.example"),), owner="web-team"),
        issued(now, 3, names=(dns("b.web.internal.example"),), owner="web-team", account_id=8),
        issued(now, 4, names=(dns("ops.internal.example"),), provisioner="ops", not_after=now + HOUR),
        issued(now, 5, not_before=now - 24 * HOUR, not_after=now - HOUR),
        issued(now, 6, provisioner="", owner="dayfly"),
    )


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory, rows: tuple[Certificate, ...]) -> CA:
    """A CA with these certificates."""
    made = found(tmp_path_factory.mktemp("reissue"))

    async def body() -> None:
        async with opened(load_config(made.home)) as store:
            await store.commit(Changes(insert=rows))

    asyncio.run(body())
    return made


@pytest.fixture
def run(ca: CA, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """`dayfly ca reissue --json` with arguments: the exit code and the document."""
    monkeypatch.setenv("DAYFLY_HOME", str(ca.home))

    def call(*arguments: str) -> tuple[int, Any]:
        capsys.readouterr()
        code = main.run(["ca", "reissue", "--json", *arguments])
        return code, json.loads(capsys.readouterr().out)

    return call


def settings_of(ca: CA) -> Settings:
    """As they are stored now."""
    return asyncio.run(read_settings_of(load_config(ca.home)))


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (("--all",), 4), (("--owner", "web-team"), 2), (("--name", "*.web.internal.example"), 2),
        (("--name", "api.internal.example", "--name", "A.web.internal.example"), 2), (("--provisioner", "ops"), 1),
        (("--account", "https://ca:9000/acme/acme/account/0000000000000008"), 1), (("--old-issuer",), 4),
        (("--owner", "web-team", "--account", "0000000000000007"), 1),
    ],
)  # fmt: skip
def test_choice_is_counted_before_anything_is_changed(run: Run, ca: CA, arguments: tuple[str, ...], count: int) -> None:
    """Living certificates only, and never the CA's own; all that is chosen must hold."""
    code, told = run(*arguments, "--dry-run")
    assert (code, told["certificates"], told["changed"]) == (0, count, False)
    assert "id" not in told
    assert settings_of(ca).reissues == ()


def test_reissue_by_serial_and_file_is_stored_listed_and_taken_back(
    run: Run, ca: CA, rows: tuple[Certificate, ...], tmp_path: Path
) -> None:
    """What is stored means these two and no other; the list has it until it is cancelled."""
    other = tmp_path / "other.crt"
    other.write_bytes(PKI().root_pem.encode())
    serials = (str(rows[0].serial), f"0x{rows[3].serial:x}")
    why = "https://wiki.internal.example/1"
    code, told = run(*serials, "--cert", str(other), "--within", "30m", "--reason", "a drill", "--explanation-url", why)
    assert (code, told["certificates"], told["owners"], told["within"]) == (0, 2, ["platform-team"], 1800)
    assert told["heard_within"] == 24 * 3600 // 50
    (stored,) = settings_of(ca).reissues
    assert [find_reissue([stored], row) is not None for row in rows] == [True, False, False, True, False, False]
    assert turn_of(stored, rows[0]).end <= stored.at + timedelta(minutes=30)
    assert stored.until == rows[0].not_after
    code, listed = run("--list")
    assert [(one["id"], one["reason"], one["explanation_url"]) for one in listed] == [(told["id"], "a drill", why)]
    assert run("--cancel", told["id"]) == (0, {"cancelled": told["id"]})
    assert settings_of(ca).reissues == ()
    assert run("--cancel", told["id"])[0] == 1
    assert run("--list") == (0, [])


def test_words_say_whom_when_and_who_hears(ca: CA, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """On standard error; the table of --list on standard output."""
    del run
    assert main.run(["ca", "reissue", "--owner", "web-team", "--within", "2h", "--reason", "drill"]) == 0
    words = capsys.readouterr().err
    assert "✔ Certificates: 2 certificates of web-team\n✔ Renewal: from now on, spread over 2h 00m\n" in words
    assert "within 28m 48s by clients that ask for renewal information" in words
    assert main.run(["ca", "reissue", "--name", "api.internal.example", "--within", "0s", "--dry-run"]) == 0
    assert (
        "Nothing was changed. It would be:\n✔ Certificates: 1 certificate of platform-team\n✔ Renewal: at once\n"
        in (capsys.readouterr().err)
    )
    assert main.run(["ca", "reissue", "--list"]) == 0
    shown = capsys.readouterr()
    assert "owner web-team" in shown.out
    assert shown.err == "1 reissue.\n"
    (one,) = settings_of(ca).reissues
    assert main.run(["ca", "reissue", "--cancel", one.id]) == 0


@pytest.mark.parametrize(
    "arguments",
    [
        (), ("--all", "--owner", "web-team"), ("nonsense",), ("--account", "seven"), ("--all", "--within", "soon"),
        ("--all", "--within", "30d"), ("--name", "*.*.example"), ("--owner", "nobody"), ("--list", "--all"),
        ("--cancel", "i9", "--dry-run"), ("--cert", "/nowhere"), ("--all", "--explanation-url", "wiki"), ("7",),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_and_nothing_is_changed(run: Run, ca: CA, arguments: tuple[str, ...]) -> None:
    """Nothing chosen, too much chosen, no serial, no account, no duration, nobody meant."""
    code, told = run(*arguments)
    assert code == 1
    assert told["error"]
    assert settings_of(ca).reissues == ()
