"""`ca eab` and `ca account` on a home: made, listed, taken back; seen and ended."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ca_world import CA
from dayfly.adapters.inspection.database import inspect_database
from dayfly.adapters.stores import open_store
from dayfly.adapters.system import SystemClock
from dayfly.core.frozen import replace
from dayfly.core.ids import render_id
from dayfly.core.jose.encoding import b64u_decode
from dayfly.ports.changes import Changes
from factories import NOW, account, certificate, order, ready_order
from home_world import Run


@pytest.fixture(params=[("eab",), ("acme", "eab")], ids=["ca eab", "ca acme eab"])
def path(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Both ways to the same commands."""
    found: tuple[str, ...] = request.param
    return found


def rows(tmp_path: Path) -> list[Any]:
    """The keys as they are stored: kid, secret, document."""
    return CA(tmp_path / "ca", 0, 0, 0).sql("SELECT kid, secret, document FROM external_keys ORDER BY id")


def test_key_is_made_listed_and_removed_in_steps_words__step_14(
    run: Run, path: tuple[str, ...], tmp_path: Path
) -> None:
    """Step's columns on standard output; the secret is there once, and nowhere else but in its column."""
    made = run(*path, "add", "acme", "web")
    head, line = made.out.splitlines()
    assert head == f"{'Key ID':<36}{'Provisioner':<28}{'Key (base64, raw url encoded)':<48}Reference"
    kid, provisioner, secret, reference = line.split()
    assert (made.code, provisioner, reference) == (0, "acme", "web")
    assert "shown once" in made.err
    ((stored, octets, document),) = rows(tmp_path)
    assert (stored, octets) == (kid, b64u_decode(secret))
    assert secret.encode() not in document
    listed = run(*path, "list", "acme")
    assert listed.out.splitlines()[1].split()[:3] == [kid, "acme", "*****"]
    assert secret not in listed.out + listed.err + run(*path, "list", "acme", "--json").out
    assert run(*path, "list", "acme", "other").err == "No ACME EAB keys stored for provisioner acme\n"
    assert "deleted successfully" in run(*path, "remove", "acme", kid).err
    assert rows(tmp_path)[0][1] == b""
    assert run(*path, "list", "acme").out == ""
    assert [one["state"] for one in run(*path, "list", "acme", "--all", "--json").json] == ["revoked"]


def test_key_has_the_scope_that_is_asked_for(run: Run) -> None:
    """As JSON, with the secret this one time."""
    made = run(
        "eab", "add", "acme", "--allow", "*.internal.example", "--deny", "x.internal.example", "--source", "10.1.2.3",
        "--owner", "platform-team", "--max-lifetime", "8h", "--unlimited", "--expires", "72h", "--preauthorized",
        "--wildcards", "--profile", "service", "--json",
    )  # fmt: skip
    assert (made.code, "without any proof" in made.err) == (0, True)
    assert len(b64u_decode(made.json["key"])) == 32
    assert (made.json["uses"], made.json["preauthorized"], made.json["state"]) == (None, True, "active")
    assert made.json["scope"] == {
        "owner": "platform-team",
        "allow": ["*.internal.example"],
        "deny": ["x.internal.example"],
        "wildcards": True,
        "sources": ["10.1.2.3/32"],
        "profiles": ["service"],
        "max_lifetime": "8h0m0s",
    }
    plain = run("eab", "add", "acme", "--uses", "3", "--json")
    listed = run("eab", "list", "acme", "--json").json
    assert [(one["id"], one["uses"], one["used"]) for one in listed] == [
        (made.json["id"], None, 0),
        (plain.json["id"], 3, 0),
    ]
    assert all("key" not in one for one in listed)
    text = run("eab", "list", "acme", "--limit", "1").out
    assert "active, 0 of any, pre-authorized" in text
    assert plain.json["id"] not in text


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("add", "nobody"), "no ACME provisioner named nobody"),
        (("add", "acme", "--owner", "nobody"), "nobody knows the owner nobody"),
        (("add", "acme", "--preauthorized"), "needs names and networks"),
        (("add", "acme", "--preauthorized", "--allow", "a.internal.example"), "needs names and networks"),
        (("add", "acme", "--allow", "*"), "is no pattern"),
        (("add", "acme", "--source", "here"), "is no network"),
        (("add", "acme", "--wildcards"), "wildcards"),
        (("add", "acme", "--expires", "soon"), "--expires"),
        (("add", "acme", "--max-lifetime", "long"), "--max-lifetime"),
        (("add", "acme", "--uses", "0"), "--uses"),
        (("add", "acme", "--ca-url", "https://a.example"), "on the CA's host"),
        (("remove", "acme", "0000"), "has no external account key 0000"),
    ],
)
def test_key_that_cannot_be_is_said_with_its_reason(run: Run, arguments: tuple[str, ...], what: str) -> None:
    """Exit 1, and nothing was made."""
    said = run("eab", *arguments)
    assert (said.code, what in said.err) == (1, True), said.err
    assert run("eab", "list", "acme", "--json").json == []


def test_doctor_lists_keys_that_vouch_for_names__acme_e10(run: Run, tmp_path: Path) -> None:
    """Until they are taken back."""
    scope = ("--allow", "*.internal.example", "--source", "10.0.0.0/8")
    run("eab", "add", "acme", *scope)
    kid = run("eab", "add", "acme", *scope, "--preauthorized", "--json").json["id"]
    told = inspect_database(tmp_path / "ca" / "db" / "dayfly.db", None, now=NOW)
    assert (told.trouble, told.preauthorized) == ("", (f"acme {kid}",))
    run("eab", "remove", "acme", kid)
    assert inspect_database(tmp_path / "ca" / "db" / "dayfly.db", None, now=NOW).preauthorized == ()


def test_clients_that_do_not_fit_are_told_of__acme_15(run: Run, tmp_path: Path) -> None:
    """By account list, account show and doctor, with what to change; others are not."""
    begin = SystemClock().now().replace(microsecond=0) - timedelta(hours=1)
    life = {"not_before": begin, "not_after": begin + timedelta(hours=24, seconds=-1)}

    async def fill() -> None:
        store = await open_store("sqlite:db/dayfly.db", home=tmp_path / "ca")
        accounts = (account(user_agent="CertbotACMEClient/2.1.0 (certbot)"), account(id=8, user_agent="curl/8 x"))
        others = (account(id=9, provisioner="other"),)
        rows = (certificate(id=1, **life), certificate(id=2, account_id=8, **life))
        await store.commit(Changes(insert=(*accounts[:1], replace(accounts[1], thumbprint="b"), *others, *rows)))
        await store.close()

    asyncio.run(fill())
    says = "looks every 12h: its certificates live 24h"
    listed = run("account", "list")
    assert [line.split()[6] for line in listed.out.splitlines()[1:]] == ["certbot", "curl/8", "-"]
    assert listed.err.count(says) == 1
    assert "every 6h" in listed.err
    told = run("account", "list", "--client", "Certbot", "--json").json
    assert [(one["client"], one["user_agent"]) for one in told] == [
        ("certbot 2.1.0", "CertbotACMEClient/2.1.0 (certbot)")
    ]
    assert told[0]["advice"]["says"].endswith(says)
    assert [one["advice"] for one in run("account", "list", "--json").json[1:]] == [None, None]
    shown = run("account", "show", render_id(7), "--json").json
    assert (shown["client"], shown["advice"]) == ("certbot 2.1.0", told[0]["advice"])
    assert f"{says}; run `certbot renew` every 6h" in run("account", "show", render_id(7)).out
    assert "advice: -" in run("account", "show", render_id(8)).out
    (misfit,) = inspect_database(tmp_path / "ca" / "db" / "dayfly.db", None, now=begin).misfits
    assert (misfit.provisioner, misfit.accounts, misfit.advice.client) == ("acme", 1, "certbot 2.1.0")


def test_accounts_are_listed_shown_and_ended(run: Run, tmp_path: Path) -> None:
    """By id or URL; what is ended is revoked for good, its open orders are invalid, and the list leaves it out."""
    key = run("eab", "add", "acme", "web", "--owner", "platform-team", "--json").json
    mine = account(contacts=("mailto:a@internal.example",), external_key=key["id"])

    async def fill() -> None:
        store = await open_store("sqlite:db/dayfly.db", home=tmp_path / "ca")
        await store.commit(Changes(insert=(mine, account(id=8, provisioner="other"), order(), ready_order(id=9))))
        await store.close()

    asyncio.run(fill())
    listed = run("account", "list", "--json").json
    assert [(one["id"], one["status"]) for one in listed] == [(render_id(7), "valid"), (render_id(8), "valid")]
    assert [one["id"] for one in run("account", "list", "--provisioner", "other", "--json").json] == [render_id(8)]
    assert [one["id"] for one in run("account", "list", "--eab-key-id", key["id"], "--json").json] == [render_id(7)]
    assert "a@internal.example" in run("account", "list").out
    shown = run("account", "show", f"https://ca.internal.example/acme/acme/account/{render_id(7)}", "--json").json
    assert (shown["thumbprint"], shown["reference"], shown["owner"]) == (mine.thumbprint, "web", "platform-team")
    assert (shown["external_key"], shown["certificates"]) == (key["id"], 0)
    assert f"external key: {key['id']}" in run("account", "show", render_id(7)).out
    assert "external key: -" in run("account", "show", render_id(8)).out
    ended = run("account", "deactivate", render_id(7), "--json")
    assert (ended.code, ended.json["status"], ended.json["orders"]) == (0, "revoked", 2)
    again = run("account", "deactivate", render_id(7))
    assert (again.code, "is revoked; 0 open orders" in again.err) == (0, True)
    assert [one["id"] for one in run("account", "list", "--json").json] == [render_id(8)]
    assert len(run("account", "list", "--all", "--json").json) == 2
    states = CA(tmp_path / "ca", 0, 0, 0).sql("SELECT DISTINCT status FROM orders")
    assert states == [("invalid",)]


def test_account_is_given_a_scope_of_its_own__acme_5(run: Run, tmp_path: Path) -> None:
    """Each flag replaces its part; --no-scope begins anew; list and show tell it; what was so is said to be so."""
    key = run("eab", "add", "acme", "web", "--owner", "platform-team", "--json").json

    async def fill() -> None:
        store = await open_store("sqlite:db/dayfly.db", home=tmp_path / "ca")
        await store.commit(Changes(insert=(account(external_key=key["id"]), account(id=8))))
        await store.close()

    asyncio.run(fill())
    mine = render_id(7)
    flags = ("--allow", "*.internal.example", "--wildcards", "--source", "10.1.2.3", "--max-lifetime", "8h")
    made = run("account", "update", mine, *flags, "--json")
    scope = {
        "owner": "",
        "allow": ["*.internal.example"],
        "deny": [],
        "wildcards": True,
        "sources": ["10.1.2.3/32"],
        "profiles": [],
        "max_lifetime": "8h0m0s",
    }
    assert (made.code, made.json["scope"]) == (0, scope)
    more = run("account", "update", mine, "--max-lifetime", "1h", "--deny", "x.internal.example", "--json").json
    assert more["scope"] == {**scope, "max_lifetime": "1h0m0s", "deny": ["x.internal.example"]}
    listed = run("account", "list", "--json").json
    assert [one["scope"] for one in listed] == [more["scope"], None]
    assert [line.split()[5] for line in run("account", "list").out.splitlines()[1:]] == ["own", "-"]
    shown = run("account", "show", mine)
    text = "allow *.internal.example; deny x.internal.example; wildcards yes; sources 10.1.2.3/32; max lifetime 1h0m0s"
    assert f"scope: {text}\n" in shown.out
    assert "scope: -\n" in run("account", "show", render_id(8)).out
    assert run("account", "show", mine, "--json").json["owner"] == "platform-team"  # the key's, where it names none
    again = run("account", "update", mine, "--max-lifetime", "1h")
    assert (again.code, "is held to: allow" in again.err, "nothing was written" in again.err) == (0, True, True)
    anew = run("account", "update", mine, "--no-scope", "--profile", "service", "--json").json["scope"]
    assert (anew["profiles"], anew["allow"], anew["max_lifetime"]) == (["service"], [], None)
    freed = run("account", "update", mine, "--no-scope")
    assert (freed.code, "has no scope of its own" in freed.err, "nothing was" in freed.err) == (0, True, False)
    assert run("account", "show", mine, "--json").json["scope"] is None


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ((), "nothing is to be changed"),
        (("--owner", "nobody"), "nobody knows the owner nobody"),
        (("--allow", "*.*"), "is no pattern"),
        (("--wildcards",), "wildcards"),
        (("--source", "here"), "is no network"),
        (("--max-lifetime", "long"), "--max-lifetime"),
    ],
    ids=str,
)
def test_scope_that_cannot_be_is_said_with_its_reason(
    run: Run, tmp_path: Path, arguments: tuple[str, ...], what: str
) -> None:
    """Exit 1, and the account has none."""

    async def fill() -> None:
        store = await open_store("sqlite:db/dayfly.db", home=tmp_path / "ca")
        await store.commit(Changes(insert=(account(),)))
        await store.close()

    asyncio.run(fill())
    said = run("account", "update", render_id(7), *arguments)
    assert (said.code, what in said.err) == (1, True), said.err
    assert run("account", "list", "--json").json[0]["scope"] is None


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("update", "0000000000000000", "--no-scope"), "there is no account 0000000000000000"),
        (("show", "nobody"), "no account's id or URL"),
        (("show", "0000000000000000"), "there is no account 0000000000000000"),
        (("deactivate", "0000000000000000"), "there is no account 0000000000000000"),
    ],
)
def test_account_that_is_not_there_is_said(run: Run, arguments: tuple[str, ...], what: str) -> None:
    """Exit 1."""
    said = run("account", *arguments)
    assert (said.code, what in said.err) == (1, True)
    assert run("account", "list").err == "there are no such accounts\n"
