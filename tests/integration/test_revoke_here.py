"""`ca revoke` in the CA's own home: by serial and file, and many at once."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from dayfly.adapters.stores.sqlite.store import SqliteStore
from dayfly.adapters.system import SystemClock
from dayfly.config.reading import load_config
from dayfly.core.acme.objects import Account, AccountStatus, Certificate
from dayfly.core.ids import make_id, render_id
from dayfly.core.jose.jwk import public_key_of
from dayfly.core.policy.keys import spki_hash
from dayfly.errors import Conflict
from dayfly.ports.changes import Changes, Receipt
from dayfly.ports.store import Store
from dayfly.wiring.commands import opened
from dayfly.wiring.revoking import AT_ONCE
from factories import account, certificate, dns, ec_key, spki_of
from home_world import Run

HOUR = timedelta(hours=1)
ACCOUNT = 0x00000B1E5F400000
KEY = ec_key()


def home() -> Path:
    """The home of the test."""
    return Path(os.environ["DAYFLY_HOME"])


def leaf(serial: int, now: datetime) -> bytes:
    """A certificate for KEY, as it might have been issued."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "api.internal.example")])
    builder = x509.CertificateBuilder(name, name, KEY.public_key(), serial)
    builder = builder.not_valid_before(now).not_valid_after(now + HOUR)
    return builder.sign(KEY, SHA256()).public_bytes(Encoding.DER)


def rows() -> tuple[Certificate | Account, ...]:
    """Three of one owner, two of another, one expired, and the account of some of them, which has KEY."""
    now = SystemClock().now().replace(microsecond=0)

    def issued(number: int, **changes: Any) -> Certificate:
        row_id = make_id(int((now - HOUR).timestamp() * 1000), 0, number)
        serial = row_id << 96 | number
        made = {"not_before": now - HOUR, "not_after": now + HOUR, "der": leaf(serial, now), **changes}
        return certificate(id=row_id, serial=serial, **made)

    return (
        issued(1, owner="web-team", names=(dns("a.web.internal.example"),), account_id=ACCOUNT),
        issued(2, owner="web-team", names=(dns("b.web.internal.example"), dns("b.corp"))),
        issued(3, owner="web-team", names=(dns("deep.b.web.internal.example"),)),
        issued(4, owner="db-team", names=(dns("db.internal.example"),), account_id=ACCOUNT),
        issued(5, owner="db-team", names=(dns("old.internal.example"),), not_after=now - HOUR / 2),
        account(id=ACCOUNT, key=public_key_of(KEY.public_key())),
    )


Scenario = Callable[[Store], Any]


def on_store(scenario: Scenario) -> Any:
    """Do something with the home's database."""

    async def body() -> Any:
        async with opened(load_config(home())) as store:
            return await scenario(store)

    return asyncio.run(body())


@pytest.fixture
def certificates(run: Run) -> list[Certificate]:
    """The rows, stored."""
    del run
    made = rows()
    on_store(lambda store: store.commit(Changes(insert=made)))
    return [one for one in made if isinstance(one, Certificate)]


def revoked() -> dict[int, int | None]:
    """The number at the end of each revoked serial, and the reason."""
    found = on_store(lambda store: store.certificates.certificates(after=0, limit=999))
    return {one.serial & 0xFFFF: one.revocation_reason for one in found if one.revoked_at is not None}


def test_serial_needs_no_token_in_the_cas_home(run: Run, certificates: list[Certificate]) -> None:
    """Decimal or hex; a second time it says so; an unknown one too; the log names who."""
    first, second, *_ = certificates
    said = run("revoke", str(first.serial), "--reasonCode", "superseded", "--json")
    assert (said.code, said.json["revoked"], said.json["serial"]) == (0, True, str(first.serial))
    assert "has been revoked" in run("revoke", hex(second.serial)).err
    assert revoked() == {1: 4, 2: 0}
    again = run("revoke", str(first.serial))
    assert (again.code, "already revoked" in again.err) == (1, True)
    unknown = run("revoke", "77")
    assert (unknown.code, "no certificate with this serial" in unknown.err) == (1, True)
    entries = on_store(lambda store: store.log.entries(0, limit=999))
    assert sum(b"an admin on the CA's host" in one.body for one in entries) == 2


def test_file_names_the_certificate_octet_by_octet(run: Run, certificates: list[Certificate], tmp_path: Path) -> None:
    """PEM or DER; another one with that serial is refused, and so is a file that is none."""
    first = certificates[0]
    good, forged, none = tmp_path / "good.der", tmp_path / "forged.crt", tmp_path / "none.crt"
    good.write_bytes(first.der)
    forged.write_bytes(x509.load_der_x509_certificate(leaf(first.serial, first.not_before)).public_bytes(Encoding.PEM))
    none.write_text("no certificate")
    for path in (forged, none, tmp_path / "missing"):
        assert run("revoke", "--file", str(path)).code == 1
    assert revoked() == {}
    assert run("revoke", "--file", str(good)).code == 0
    assert revoked() == {1: 0}


@pytest.mark.parametrize(
    ("flags", "numbers"),
    [
        (("--owner", "web-team"), {1, 2, 3}),
        (("--name", "*.web.internal.example"), {1, 2}),
        (("--name", "**.web.internal.example"), {1, 2, 3}),
        (("--name", "b.corp"), {2}),
        (("--account", render_id(ACCOUNT)), {1, 4}),
        (("--account", f"https://ca.internal.example/acme/acme/account/{render_id(ACCOUNT)}"), {1, 4}),
        (("--account", render_id(ACCOUNT), "--owner", "db-team"), {4}),
    ],
)
def test_many_are_shown_then_revoked(
    run: Run, certificates: list[Certificate], flags: tuple[str, ...], numbers: set[int]
) -> None:
    """What lives and is meant by all flags; --dry-run changes nothing, and without a terminal --yes is needed."""
    assert len(certificates) == 5
    shown = run("revoke", *flags, "--dry-run", "--json").json
    assert {int(one["serial"]) & 0xFFFF for one in shown["certificates"]} == numbers
    assert shown["revoked"] is False
    refused = run("revoke", *flags)
    assert (refused.code, "--yes" in refused.err) == (1, True)
    assert revoked() == {}
    said = run("revoke", *flags, "--yes", "--reasonCode", "5")
    assert said.code == 0, said.err
    assert revoked() == dict.fromkeys(numbers, 5)
    assert "no living certificate" in run("revoke", *flags, "--yes").err


def test_list_for_a_person_says_what_it_is(run: Run, certificates: list[Certificate]) -> None:
    """A table on standard output, the count beside it."""
    said = run("revoke", "--owner", "web-team", "--dry-run")
    assert said.out.splitlines()[0].split() == ["OWNER", "CERTIFICATE", "PROVISIONER", "NOT", "AFTER", "SERIAL"]
    assert len(said.out.splitlines()) == 4
    assert f"0x{certificates[0].serial:x}" in said.out
    assert said.err == "3 certificates would be revoked.\n"


def test_person_at_a_terminal_is_asked(
    run: Run, certificates: list[Certificate], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anything but yes revokes nothing."""
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    for answer, numbers in (("n", set()), ("", set()), ("y", {1, 2, 3})):
        monkeypatch.setattr("click.prompt", lambda *_, answer=answer, **__: answer)
        said = run("revoke", "--owner", "web-team")
        assert (said.code == 0) is bool(numbers), said.err
        assert "a.web.internal.example" in said.err
        assert set(revoked()) == numbers
    assert len(certificates) == 5


def test_key_compromise_by_an_admin_bars_the_key_and_its_accounts(run: Run, certificates: list[Certificate]) -> None:
    """As by a provisioner's token."""
    assert run("revoke", str(certificates[0].serial), "--reasonCode", "keyCompromise").code == 0

    async def look(store: Store) -> tuple[bool, AccountStatus]:
        compromised = await store.certificates.is_compromised(spki_hash(spki_of(KEY)))
        return compromised, (await store.accounts.account(ACCOUNT)).status

    assert on_store(look) == (True, AccountStatus.REVOKED)


@pytest.mark.parametrize(
    "flags",
    [
        ("7", "--owner", "web-team"), ("--owner", "x", "--token", "a.b.c"), ("--file", "x.crt", "--owner", "x"),
        ("--name", "*.*.corp"), ("--account", "7"), ("--dry-run",), ("--owner", "x", "--reasonCode", "6"),
    ],
)  # fmt: skip
def test_flags_that_do_not_fit_are_usage_errors(
    run: Run, certificates: list[Certificate], flags: tuple[str, ...]
) -> None:
    """Nothing is revoked."""
    assert run("revoke", *flags, "--yes").code == 1
    assert revoked() == {}
    assert len(certificates) == 5


def test_more_than_one_group_is_told_and_one_that_was_revoked_meanwhile_counts(
    run: Run, monkeypatch: pytest.MonkeyPatch, certificates: list[Certificate]
) -> None:
    """In groups, with progress; whoever lost a race against another revocation says so at the end."""
    monkeypatch.setattr("dayfly.cli.ca_revoke_here.TELL_EVERY", AT_ONCE)
    now = SystemClock().now().replace(microsecond=0)
    many = []
    for number in range(100, 100 + 2 * AT_ONCE):
        row_id = make_id(int(now.timestamp() * 1000), 0, number)
        many.append(
            certificate(
                id=row_id, serial=row_id << 96 | number, owner="fleet", not_before=now - HOUR, not_after=now + HOUR
            )
        )
    on_store(lambda store: store.commit(Changes(insert=tuple(many))))
    commit, left = SqliteStore.commit, [True]

    async def late(self: Any, changes: Changes) -> Receipt:
        if left:
            left.pop()
            await commit(self, changes)
            raise Conflict("the row is another one by now")
        return await commit(self, changes)

    monkeypatch.setattr(SqliteStore, "commit", late)
    said = run("revoke", "--owner", "fleet", "--yes", "--json")
    assert said.code == 0, said.err
    assert len(json.loads(said.out)["certificates"]) == 2 * AT_ONCE - 1
    assert f"{AT_ONCE} of {2 * AT_ONCE}" in said.err
    assert "99 certificates revoked; 1 had been already." in said.err
    assert len(revoked()) == 2 * AT_ONCE
    assert len(certificates) == 5
