"""Which clients cannot be expected to renew in time: what is known of a client, against what it was seen doing.

Rules: what was seen is believed before what is known: a client that has renewed in time, time after time, is left
alone, whatever it calls itself; of one that nothing is known of nothing is said; only certificates that live now count,
for what nobody renews any more is nobody's habit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from dayfly.core.acme.clients import Client, Habit, Round, recognise
from dayfly.core.acme.objects import Account, AccountStatus
from dayfly.core.policy.lifetimes import SECOND, short_duration

LOOKS = 4  # in a lifetime, so that one that fails leaves two before the end (docs/how-to/acme-clients.md)
MOST_ISSUANCES = 50_000  # the newest certificates, that are looked at: a tenth of a second, and 60 MB to read
GAPS = 8  # between the newest certificates of the same names, that are looked at
PROOF = 2  # such gaps at least, before a client is known to renew in time
LATEST = 3 / 4  # of its life, by when a certificate's successor was there
TOO_OFTEN = 1 / 8  # of its life: successors that all come within it are no renewals


@dataclass(frozen=True, slots=True)
class Issuance:
    """A certificate that an account was given."""

    account_id: int
    names: frozenset[str]
    not_before: datetime
    not_after: datetime

    @property
    def life(self) -> timedelta:
        """Both ends are inside (RFC 5280 4.1.2.5)."""
        return self.not_after - self.not_before + SECOND


@dataclass(frozen=True, slots=True)
class Conduct:
    """What was seen of an account: the shortest life of its certificates, and whether its renewals fit it.

    `in_time`: each of its sets of names was renewed in time, time after time; `too_often`: much oftener than that.
    """

    life: timedelta
    in_time: bool
    too_often: bool


@dataclass(frozen=True, slots=True)
class Advice:
    """What an operator is told of a client: what it does, and what to change."""

    client: str
    says: str
    change: str


def conduct_of(issuances: Iterable[Issuance], now: datetime) -> dict[int, Conduct]:
    """What was seen of each account that has a certificate at `now`; `issuances` come newest first."""
    lines: dict[tuple[int, frozenset[str]], list[Issuance]] = {}
    for one in issuances:
        line = lines.setdefault((one.account_id, one.names), [])
        if len(line) <= GAPS and (line or one.not_after >= now):
            line.append(one)
    accounts: dict[int, list[list[Issuance]]] = {}
    for (account_id, _), line in lines.items():
        if line:
            accounts.setdefault(account_id, []).append(line)
    return {account_id: _conduct(found) for account_id, found in accounts.items()}


def _conduct(lines: list[list[Issuance]]) -> Conduct:
    return Conduct(
        life=min(line[0].life for line in lines),
        in_time=all(_fits(line) for line in lines),
        too_often=any(max(_shares(line), default=1) < TOO_OFTEN for line in lines),
    )


def _fits(line: list[Issuance]) -> bool:
    """Were the newest certificates of a set of names each there in time for its predecessor's end?"""
    shares = _shares(line)
    return len(shares) >= PROOF and max(shares) <= LATEST


def _shares(line: list[Issuance]) -> list[float]:
    """How much of a certificate's life was over when its successor came, of each but the newest."""
    return [(newer.not_before - older.not_before) / older.life for newer, older in pairwise(line)]


def advise(user_agent: str, conduct: Conduct) -> Advice | None:
    """What to tell of a client by what it calls itself and was seen doing; None where there is nothing.

    1. A client that renews in time and not too often is left alone.
    2. One that takes certificates for due in a way that does not fit such lives is told of.
    3. So is one that looks too rarely, unless it has been seen to renew in time.
    """
    client = recognise(user_agent)
    if client is None or (conduct.in_time and not conduct.too_often):
        return None
    habit, round_ = _habit(client, conduct.life), None if conduct.in_time else _round(client, conduct.life)
    if habit is None and round_ is None:
        return None
    every = short_duration(conduct.life / LOOKS)
    says = [] if habit is None else [habit.says]
    says += [] if round_ is None else [f"looks every {short_duration(round_.every)}"]
    change = [one.change.replace("{every}", every) for one in (round_, habit) if one is not None]
    lives = f"its certificates live {short_duration(conduct.life)}"
    return Advice(client.name, f"{', and '.join(says)}: {lives}", "; ".join(dict.fromkeys(change)))


def _habit(client: Client, life: timedelta) -> Habit | None:
    """The habit that does not fit such a life, in this release."""
    habit = client.program.habit
    if habit is None or life >= habit.below:
        return None
    return None if habit.fine_since is not None and client.release >= habit.fine_since else habit


def _round(client: Client, life: timedelta) -> Round | None:
    """How often it looks, in this release, where that is too rare for such a life."""
    come = [one for one in client.program.rounds if one.since <= client.release]
    return come[-1] if come and come[-1].every > life / LOOKS else None


def advice_for(account: Account, conducts: dict[int, Conduct]) -> Advice | None:
    """What to tell of an account's client; nothing of an account that gets no certificates any more."""
    conduct = conducts.get(account.id)
    if conduct is None or account.status is not AccountStatus.VALID:
        return None
    return advise(account.user_agent, conduct)


@dataclass(frozen=True, slots=True)
class Misfit:
    """Accounts of one provisioner whose clients are one program, of which there is something to tell."""

    provisioner: str
    accounts: int
    program: str
    advice: Advice


def misfits(accounts: Iterable[Account], conducts: dict[int, Conduct]) -> tuple[Misfit, ...]:
    """What is to be told of these accounts' clients, one for each program and provisioner."""
    found: dict[tuple[str, str], list[Advice]] = {}
    for one in accounts:
        client, advice = recognise(one.user_agent), advice_for(one, conducts)
        if client is not None and advice is not None:
            found.setdefault((one.provisioner, client.program.name), []).append(advice)
    return tuple(Misfit(provisioner, len(told), name, told[0]) for (provisioner, name), told in found.items())
