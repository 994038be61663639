"""The CA: ports, certificates, database, settings, server."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest

from dayfly.core.acme.habits import Advice, Misfit
from dayfly.core.doctor.ca import (
    AuthorityFacts,
    DatabaseFacts,
    IssuingKey,
    LabFacts,
    LongLeaves,
    PortFact,
    PortState,
    ServerFacts,
    judge_authorities,
    judge_clients,
    judge_crls,
    judge_database,
    judge_lab,
    judge_ports,
    judge_server,
    span,
    unusable_config,
)
from dayfly.core.doctor.catalogue import Level
from dayfly.core.doctor.findings import Finding
from dayfly.core.frozen import replace
from factories import NOW

DAY = timedelta(days=1)
YEAR = 365 * DAY
DATABASE = DatabaseFacts(schema=3, known_schema=3, newest=NOW, size=9, rules=2, longest_leaf=DAY)
P, W = Level.PROBLEM, Level.WARNING


def wrongs(found: Iterable[Finding]) -> list[tuple[str, Level]]:
    """What is not well, each with something to do."""
    bad = [one for one in found if one.level is not Level.OK]
    assert all(one.next_step for one in bad)
    return [(one.code, one.level) for one in bad]


def port(key: str = "address", **changes: Any) -> PortFact:
    """A port that our server has."""
    return replace(PortFact(key, "127.0.0.1", 9000, PortState.OURS), **changes)


@pytest.mark.parametrize(
    ("fact", "found"),
    [
        (port(), []),
        (port(state=PortState.FREE), []),
        (port(state=PortState.TAKEN, holder="nginx (process 7)"), [("DF4202", P)]),
        (port(state=PortState.FORBIDDEN, port=443), [("DF4203", P)]),
        (port("metrics.address", state=PortState.TAKEN), [("DF4204", P)]),
        (port("metrics.address"), []),
        (port("metrics.address", host="localhost"), []),
        (port("metrics.address", host="10.0.0.7"), []),
        (port("metrics.address", host="::1"), []),
        (port("metrics.address", host=""), [("DF4205", W)]),
        (port("metrics.address", host="0.0.0.0"), [("DF4205", W)]),
        (port("metrics.address", host="2606:4700::1"), [("DF4205", W)]),
        (port(host=""), []),
    ],
)
def test_ports_are_ours_or_free_and_the_metrics_are_not_for_all(fact: PortFact, found: list[tuple[str, Level]]) -> None:
    """Taken, forbidden, shown to everybody: the CA's own address may be public, that of the metrics not."""
    assert wrongs(judge_ports((fact,))) == found


@pytest.mark.parametrize(
    ("root", "intermediate", "found"),
    [
        (9 * YEAR, 5 * YEAR, []),
        (364 * DAY, 300 * DAY, [("DF4206", W)]),
        (89 * DAY, 80 * DAY, [("DF4206", P)]),
        (-DAY, 80 * DAY, [("DF4206", P)]),
        (9 * YEAR, 29 * DAY, [("DF4207", W)]),
        (9 * YEAR, 6 * DAY, [("DF4207", P)]),
        (9 * YEAR, timedelta(hours=47), [("DF4207", P), ("DF4208", P)]),
        (9 * YEAR, timedelta(), [("DF4207", P)]),
    ],
)
def test_ends_of_root_and_intermediate_are_told_in_time(
    root: timedelta, intermediate: timedelta, found: list[tuple[str, Level]]
) -> None:
    """A year and 90 days for the root, 30 and 7 days for the intermediate, twice the longest leaf life for leaves."""
    facts = AuthorityFacts((NOW - YEAR, NOW + root), (NOW - YEAR, NOW + intermediate))
    assert wrongs(judge_authorities(facts, now=NOW, longest_leaf=DAY)) == found


def test_broken_chain_is_found_and_unknown_leaves_are_no_fault() -> None:
    """The reason of the library is passed on."""
    facts = AuthorityFacts((NOW, NOW + 9 * YEAR), (NOW, NOW + 5 * YEAR), broken="no path")
    assert wrongs(judge_authorities(facts, now=NOW, longest_leaf=None)) == [("DF4209", P)]


@pytest.mark.parametrize(
    ("time", "words"),
    [
        (9 * YEAR, "9 years"),
        (700 * DAY, "700 days"),
        (47 * timedelta(hours=1), "47 hours"),
        (timedelta(minutes=90), "90 minutes"),
    ],
)
def test_span_is_in_the_largest_unit_that_says_something(time: timedelta, words: str) -> None:
    """For people, who read one number."""
    assert span(time) == words


@pytest.mark.parametrize(
    ("facts", "found"),
    [
        (LabFacts(), []),
        (LabFacts(("allow", "hosts")), [("DF4210", W)]),
        (LabFacts(limits_enabled=False), [("DF4217", W)]),
    ],
)
def test_lab_settings_are_told(facts: LabFacts, found: list[tuple[str, Level]]) -> None:
    """What changes the meaning of a proof, and limits that are off."""
    assert wrongs(judge_lab(facts)) == found


@pytest.mark.parametrize(
    ("facts", "found"),
    [
        (DATABASE, []),
        (replace(DATABASE, checked="all"), []),
        (DatabaseFacts(trouble="the database x cannot be read: file is not a database"), [("DF4213", P)]),
        (replace(DATABASE, schema=4), [("DF4211", P)]),
        (replace(DATABASE, schema=2), [("DF4211", W)]),
        (replace(DATABASE, log="the head does not fit"), [("DF4212", P)]),
        (replace(DATABASE, rules=0), [("DF4218", W)]),
        (replace(DATABASE, preauthorized=("acme 7hQ2", "acme 9Zc4")), [("DF4221", W), ("DF4221", W)]),
    ],
)
def test_database_is_judged_by_schema_log_and_rules(facts: DatabaseFacts, found: list[tuple[str, Level]]) -> None:
    """Each fault alone."""
    assert wrongs(judge_database(facts)) == found


def test_client_that_does_not_fit_is_told_with_what_to_change__acme_15() -> None:
    """A warning for each program of a provisioner; without one, the check passed."""
    assert wrongs(judge_clients(DATABASE)) == []
    advice = Advice("certbot 2.1.0", "looks every 12h: its certificates live 24h", "run `certbot renew` every 6h")
    misfits = (Misfit("acme", 1, "certbot", advice), Misfit("b", 2, "lego", advice))
    told = judge_clients(replace(DATABASE, misfits=misfits))
    assert wrongs(told) == [("DF4222", W), ("DF4222", W)]
    assert told[0].says == "certbot 2.1.0 looks every 12h: its certificates live 24h (an account of acme)"
    assert told[0].next_step == (
        "run `certbot renew` every 6h; its accounts: dayfly ca account list --client 'certbot'"
    )
    assert told[1].says.endswith("(2 accounts of b)")


@pytest.mark.parametrize(
    ("facts", "found"),
    [
        (ServerFacts(running=True), []),
        (ServerFacts(running=False), [("DF4214", W)]),
        (ServerFacts(running=True, health="/health answers with status 503"), [("DF4215", P)]),
        (ServerFacts(running=True, failing=("db", "audit")), [("DF4216", P), ("DF4216", P)]),
        (ServerFacts(running=True, ready_trouble="refused"), [("DF4216", W)]),
    ],
)
def test_server_is_judged_by_its_answers(facts: ServerFacts, found: list[tuple[str, Level]]) -> None:
    """Not running is a warning; running without an answer is a problem."""
    assert wrongs(judge_server(facts)) == found


def test_unusable_configuration_is_a_problem_with_the_loaders_words() -> None:
    """The hint of the loader is the next step, where it has one."""
    assert unusable_config("version: is missing", "see the page").next_step == "see the page"
    assert wrongs([unusable_config("version: is missing", "")]) == [("DF4201", P)]


@pytest.mark.parametrize(
    ("facts", "served", "codes"),
    [
        (DatabaseFacts(crl_ends=NOW + DAY), True, []),
        (DatabaseFacts(crl_ends=NOW), True, ["DF4219"]),
        (DatabaseFacts(crl_ends=NOW), False, []),  # switched off: no leaf lives long any more
        (DatabaseFacts(longest_leaf=7 * DAY), False, []),
        (DatabaseFacts(longest_leaf=8 * DAY), False, ["DF4220"]),
        (DatabaseFacts(longest_leaf=8 * DAY), True, []),
    ],
)
def test_crls_are_fresh_where_leaves_live_long(facts: DatabaseFacts, codes: list[str], *, served: bool) -> None:
    """One that is over is a problem, and so is a long life without any."""
    found = judge_crls(facts, served=served, now=NOW)
    assert [one.code for one in found if one.level is not Level.OK] == codes
    assert found


TODAYS, EARLIER, NAMED = IssuingKey(b"n", b"k"), IssuingKey(b"n", b"j"), IssuingKey(b"m", b"k")


@pytest.mark.parametrize(("key", "is_wrong"), [(TODAYS, False), (EARLIER, True), (NAMED, True)])
def test_long_leaves_of_an_earlier_issuer_have_no_crl__acme_10(key: IssuingKey, *, is_wrong: bool) -> None:
    """One of another key or name is a problem, with the command that has them renewed; unknown, nothing is said."""
    facts = DatabaseFacts(crl_ends=NOW + DAY, long_leaves=(LongLeaves(key, 3, NOW + 9 * DAY),))
    found = judge_crls(facts, served=True, now=NOW, signs=TODAYS)
    assert wrongs(found) == ([("DF4223", P)] if is_wrong else [])
    assert ("3 certificates" in found[0].says) is is_wrong
    assert wrongs(judge_crls(facts, served=True, now=NOW)) == []
