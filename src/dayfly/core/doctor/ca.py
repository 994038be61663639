"""The CA itself: its ports, certificates, database, log, settings and server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from ipaddress import ip_address

from dayfly.core.acme.habits import Misfit
from dayfly.core.doctor.catalogue import Level
from dayfly.core.doctor.findings import Finding, Group, passed, settle, wrong
from dayfly.core.policy.lifetimes import LONGEST

DAY = timedelta(days=1)
ROOT_SOON, ROOT_LATE = 365 * DAY, 90 * DAY
INTERMEDIATE_SOON, INTERMEDIATE_LATE = 30 * DAY, 7 * DAY  # as the alert on authorities (observability.md 5)
LEAVES = 2  # longest leaf lives that an intermediate should still have


class PortState(StrEnum):
    """Who has a port."""

    FREE = "free"
    OURS = "ours"
    TAKEN = "taken"
    FORBIDDEN = "forbidden"


@dataclass(frozen=True, slots=True)
class PortFact:
    """A port that ca.toml names: `key` is its key's path, `holder` who has it, in words."""

    key: str
    host: str
    port: int
    state: PortState
    holder: str = ""


@dataclass(frozen=True, slots=True)
class IssuingKey:
    """Who signs: a name (DER), and the key's identifier; a CRL is of the leaves that name these two (RFC 5280 6.3)."""

    name: bytes
    key_id: bytes


@dataclass(frozen=True, slots=True)
class AuthorityFacts:
    """The times of root and intermediate; `broken` says why the chain does not lead to the root, else is empty.

    `signs` is what signs today, None where the intermediate does not say.
    """

    root: tuple[datetime, datetime]
    intermediate: tuple[datetime, datetime]
    broken: str = ""
    signs: IssuingKey | None = None


@dataclass(frozen=True, slots=True)
class LongLeaves:
    """Certificates above 7 days that live and are not revoked: whose they are, how many, and when the last one ends."""

    signed_by: IssuingKey
    count: int
    until: datetime


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """The database, read and not touched; `trouble` says why it could not be read, else is empty.

    `log` says what does not fit in the log; `size` is the number of its entries, `checked` how it was looked at.
    `preauthorized` are the external account keys that vouch for names, as provisioner and kid.
    """

    trouble: str = ""
    schema: int = 0
    known_schema: int = 0
    newest: datetime | None = None
    size: int = 0
    log: str = ""
    checked: str = "head"
    rules: int = 0
    longest_leaf: timedelta | None = None
    crl_ends: datetime | None = None
    """The earliest nextUpdate of all CRLs, None where there is none."""
    long_leaves: tuple[LongLeaves, ...] = ()
    """What lives now and names a CRL, by who signed it."""
    preauthorized: tuple[str, ...] = ()
    misfits: tuple[Misfit, ...] = ()
    """ACME clients that cannot be expected to renew in time."""


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """The running server: `health` and `failing` say what is wrong with its answers, empty where nothing is."""

    running: bool
    health: str = ""
    failing: tuple[str, ...] = ()
    ready_trouble: str = ""


@dataclass(frozen=True, slots=True)
class LabFacts:
    """Keys of ca.toml that differ from what a CA for others has."""

    validation: tuple[str, ...] = ()
    limits_enabled: bool = True


def unusable_config(problem: str, hint: str) -> Finding:
    """ca.toml does not load."""
    return wrong("DF4201", Group.CA, f"ca.toml: {problem}", next_step=hint or "correct ca.toml")


def judge_ports(ports: tuple[PortFact, ...]) -> tuple[Finding, ...]:
    """The CA's port and that of the metrics."""
    found = [one for port in ports for one in _port(port)]
    return settle(found, otherwise=passed("DF4202", Group.CA, "ports"))


def _port(fact: PortFact) -> Iterator[Finding]:
    is_metrics = fact.key.startswith("metrics")
    if fact.state is PortState.TAKEN:
        code = "DF4204" if is_metrics else "DF4202"
        says = f"{fact.key}: port {fact.port} is taken by {fact.holder}"
        yield wrong(code, Group.CA, says, next_step=f"stop it, or change {fact.key} in ca.toml")
    if fact.state is PortState.FORBIDDEN:
        says = f"{fact.key}: this user may not listen on port {fact.port}"
        yield wrong("DF4203", Group.CA, says, next_step="grant CAP_NET_BIND_SERVICE, or use a port of 1024 or above")
    if is_metrics and _is_public(fact.host):
        says = f"the metrics are shown on {fact.host or 'every address'}:{fact.port}"
        yield wrong("DF4205", Group.CA, says, next_step='set metrics.address = "127.0.0.1:9180" in ca.toml')


def _is_public(host: str) -> bool:
    if host in {"", "localhost"}:
        return not host
    address = ip_address(host)
    return address.is_unspecified or not (address.is_loopback or address.is_private)


def judge_authorities(facts: AuthorityFacts, *, now: datetime, longest_leaf: timedelta | None) -> tuple[Finding, ...]:
    """Root and intermediate: their ends, the leaves between, the chain."""
    left = facts.intermediate[1] - now
    return (
        _ending("DF4206", "root", facts.root[1] - now, soon=ROOT_SOON, late=ROOT_LATE),
        _ending("DF4207", "intermediate", left, soon=INTERMEDIATE_SOON, late=INTERMEDIATE_LATE),
        *_leaves(left, longest_leaf),
        *_chain(facts),
    )


def _ending(code: str, name: str, left: timedelta, *, soon: timedelta, late: timedelta) -> Finding:
    step = f"dayfly explain {code}"
    if left <= timedelta():
        return wrong(code, Group.CA, f"the {name} has expired", next_step=step)
    if left < soon:
        level = Level.PROBLEM if left < late else Level.WARNING
        return wrong(code, Group.CA, f"the {name} expires in {span(left)}", next_step=step, level=level)
    return passed(code, Group.CA, f"{name} for {span(left)}")


def span(time: timedelta) -> str:
    """A length of time in its largest unit: years, days, hours or minutes."""
    if time >= 730 * DAY:
        return f"{time // (365 * DAY)} years"
    if time >= 2 * DAY:
        return f"{time.days} days"
    hours = time // timedelta(hours=1)
    return f"{hours} hours" if hours >= 2 else f"{time // timedelta(minutes=1)} minutes"


def _leaves(left: timedelta, longest: timedelta | None) -> Iterator[Finding]:
    if longest is not None and timedelta() < left < LEAVES * longest:
        says = f"the intermediate has {span(left)} left, and leaves may live {span(longest)}"
        yield wrong("DF4208", Group.CA, says, next_step="have a new intermediate signed now, or shorten the lifetimes")


def _chain(facts: AuthorityFacts) -> Iterator[Finding]:
    if facts.broken:
        step = "put the root and the intermediate that belong together in place"
        yield wrong("DF4209", Group.CA, f"the chain does not lead to the root: {facts.broken}", next_step=step)


def judge_lab(facts: LabFacts) -> tuple[Finding, ...]:
    """What is meant for labs."""
    found = []
    if facts.validation:
        step = "remove these keys from [validation] in ca.toml"
        says = f"validation runs with lab settings: {', '.join(facts.validation)}"
        found.append(wrong("DF4210", Group.CA, says, next_step=step))
    if not facts.limits_enabled:
        step = "remove limits.enabled from ca.toml"
        found.append(wrong("DF4217", Group.CA, "the limits are switched off", next_step=step))
    return settle(found, otherwise=passed("DF4210", Group.CA, "no lab settings"))


def judge_database(facts: DatabaseFacts) -> tuple[Finding, ...]:
    """Schema, log and rules."""
    if facts.trouble:
        return (wrong("DF4213", Group.CA, facts.trouble, next_step="restore the newest backup whose log verifies"),)
    if facts.schema != facts.known_schema:
        return (_schema(facts),)
    found = []
    if facts.log:
        says = f"the log does not verify: {facts.log}"
        found.append(wrong("DF4212", Group.CA, says, next_step="dayfly ca log verify"))
    if not facts.rules:
        says = "there is no name rule, so every name is refused"
        found.append(wrong("DF4218", Group.CA, says, next_step="dayfly ca policy allow NAME"))
    for key in facts.preauthorized:
        says = f"the external account key {key} gives its names without a proof"
        found.append(wrong("DF4221", Group.CA, says, next_step=f"if nobody needs it: dayfly ca eab remove {key}"))
    words = "log verifies" if facts.checked == "all" else "log's head fits"
    return settle(found, otherwise=passed("DF4212", Group.CA, f"{words} ({facts.size} entries)"))


def judge_clients(facts: DatabaseFacts) -> tuple[Finding, ...]:
    """Do the ACME clients renew in time, as far as they are known?"""
    found = []
    for one in facts.misfits:
        many = "an account" if one.accounts == 1 else f"{one.accounts} accounts"
        says = f"{one.advice.client} {one.advice.says} ({many} of {one.provisioner})"
        step = f"{one.advice.change}; its accounts: dayfly ca account list --client '{one.program}'"
        found.append(wrong("DF4222", Group.CA, says, next_step=step))
    return settle(found, otherwise=passed("DF4222", Group.CA, "ACME clients fit"))


def judge_crls(
    facts: DatabaseFacts, *, served: bool, now: datetime, signs: IssuingKey | None = None
) -> tuple[Finding, ...]:
    """Are CRLs fresh, and are there some where leaves live long? `served`: ca.toml has a place for them.

    `signs` is who signs today, where that is known.
    """
    found = []
    if facts.crl_ends is not None and served and facts.crl_ends <= now:
        says = f"a CRL ended at {facts.crl_ends:%Y-%m-%dT%H:%M:%SZ}, and none has taken its place"
        found.append(wrong("DF4219", Group.CA, says, next_step="dayfly ca crl; then read the server's log"))
    if not served and facts.longest_leaf is not None and facts.longest_leaf > LONGEST:
        says = f"a provisioner gives {span(facts.longest_leaf)}, and there are no CRLs: what is above 7 days is refused"
        step = 'say in ca.toml: [crl] address = ":9080", and restart the CA; or shorten the lifetimes'
        found.append(wrong("DF4220", Group.CA, says, next_step=step))
    for one in facts.long_leaves if signs is not None else ():
        if one.signed_by != signs:
            says = (
                f"{one.count} certificates of an earlier issuing key have no CRL: the last ends at {one.until:%Y-%m-%d}"
            )
            found.append(wrong("DF4223", Group.CA, says, next_step="dayfly ca reissue --old-issuer --within 4h"))
    words = "CRLs are fresh" if facts.crl_ends is not None and served else "no CRL is needed"
    return settle(found, otherwise=passed("DF4219", Group.CA, words))


def _schema(facts: DatabaseFacts) -> Finding:
    says = f"the database has schema {facts.schema}, this Dayfly knows {facts.known_schema}"
    if facts.schema > facts.known_schema:
        return wrong("DF4211", Group.CA, says, next_step="run the Dayfly that made it, or a newer one")
    step = "back it up; the next `dayfly ca start` brings it up to date"
    return wrong("DF4211", Group.CA, says, next_step=step, level=Level.WARNING)


def judge_server(facts: ServerFacts) -> tuple[Finding, ...]:
    """The server and its answers."""
    if not facts.running:
        return (wrong("DF4214", Group.CA, "no server runs in this home", next_step="dayfly ca start"),)
    found = []
    if facts.health:
        found.append(
            wrong("DF4215", Group.CA, f"the server runs, and {facts.health}", next_step="read the server's log")
        )
    for check in facts.failing:
        step = f"dayfly explain DF4216; look at: {check}"
        found.append(wrong("DF4216", Group.CA, f"the server is not ready: its check {check} fails", next_step=step))
    if facts.ready_trouble:
        says = f"its metrics port does not answer: {facts.ready_trouble}"
        found.append(wrong("DF4216", Group.CA, says, next_step="read the server's log", level=Level.WARNING))
    return settle(found, otherwise=passed("DF4215", Group.CA, "server answers, and is ready"))
