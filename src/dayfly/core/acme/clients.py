"""Stock ACME clients by what they call themselves, and what of them does not fit short lives (acme.md part 15).

Rules: a User-Agent is a claim, so it decides nothing: it is kept, shown, and asked what to tell an operator; what is
kept is printable ASCII of bounded length; a client has one line here, and a habit stands in it that was seen in a
laboratory or read in the client's own text, as the client is installed, for what an operator changed nobody can see.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache

MAX_USER_AGENT = 200  # octets; certbot's, the longest of those known, has 150

_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
_UNPRINTABLE = re.compile(r"[^ -~]+")
_VERSION = r"(?P<version>(?>[0-9]{1,9}(?:\.[0-9]{1,9}){0,5}))[\w.+~-]*"  # with what packagers put behind it

Release = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Round:
    """How often a client looks whether something is due, from a release on; and what makes it look oftener.

    In `change`, `{every}` is the longest time between two looks that fits the certificates' lives.
    """

    every: timedelta
    change: str
    since: Release = ()


@dataclass(frozen=True, slots=True)
class Habit:
    """When a client takes a certificate for due, where that does not fit lives below `below`; and what to change.

    Releases from `fine_since` on have it no more; None: all have it. `{every}` as above.
    """

    below: timedelta
    says: str
    change: str
    fine_since: Release | None = None


@dataclass(frozen=True, slots=True)
class Program:
    """A client: its name in the table of clients, the expression that finds it in a User-Agent, and its ways.

    `%V` in the expression stands for its version. Of `rounds` the last one whose release has come counts.
    """

    name: str
    agent: str
    rounds: tuple[Round, ...] = ()
    habit: Habit | None = None


_THIRTY = "takes 30 days before the end for due, so every run renews"
_AT_EVERY_RUN = "run it every {every}, and not oftener"
_ACME_RENEW = "send `acme renew CERTIFICATE` to its socket every {every}"
_DAILY_TASK = (Round(_DAY, "run its task every {every}"),)

PROGRAMS: tuple[Program, ...] = (
    Program("acme (Python)", r"acme-python(?:/%V)?"),
    Program("acme-client (Node.js)", r"node-acme-client/%V"),
    Program("acme-client (Ruby)", r"Acme::Client v%V"),
    Program("acme-tiny", r"acme-tiny(?:/%V)?",
            habit=Habit(90 * _DAY, "gets a certificate at every run", _AT_EVERY_RUN)),
    Program("acme.sh", r"acme\.sh/%V",
            (Round(_DAY, "run `acme.sh --cron` every {every}"),
             Round(6 * _HOUR, "run `acme.sh --cron` every {every}", since=(3, 1, 4))),
            Habit(30 * _DAY, "counts in days from the issue, so it renews when a short life is over",
                  "run it with `--force`; from 3.1.4 on it asks the CA when to renew", (3, 1, 4))),
    Program("acme4j (Java)", r"acme4j/%V"),
    Program("acmetool", r"acmetool(?:/%V)?", (Round(_DAY, "run `acmetool reconcile` every {every}"),)),
    Program("Apache mod_md", r"mod_md/%V"),
    Program("Caddy", r"Caddy/v?%V", (Round(10 * _MINUTE, "set `renew_interval` to {every}"),)),
    Program("cert-manager", r"cert-manager(?:-[a-z]+)*(?:/v?%V)?"),
    Program("certbot", r"CertbotACMEClient/%V", (Round(12 * _HOUR, "run `certbot renew` every {every}"),),
            Habit(30 * _DAY, _THIRTY, "from version 4 on it asks the CA when to renew", (4,))),
    Program("CertMagic (Go)", r"CertMagic(?:/v?%V)?",
            (Round(10 * _MINUTE, "set `RenewCheckInterval` of its cache to {every}"),)),
    Program("Dayfly", r"dayfly/%V"),
    Program("dehydrated", r"dehydrated/%V", habit=Habit(30 * _DAY, _THIRTY, _AT_EVERY_RUN)),
    Program("HAProxy", r"HAProxy(?:/%V)?", (Round(12 * _HOUR, _ACME_RENEW),),
            Habit(7 * _DAY, "renews when a twelfth of the life is left", _ACME_RENEW)),
    Program("instant-acme (Rust)", r"instant-acme/%V"),
    Program("lego", r"lego-cli/\S+ xenolf-acme/%V",
            habit=Habit(30 * _DAY, _THIRTY, f"{_AT_EVERY_RUN}; from version 5 on it asks the CA when to renew", (5,))),
    Program("nginx (ACME module)", r"nginx-acme/%V",
            (Round(_MINUTE, "it looks no oftener: have it ask a provisioner whose certificates live longer"),)),
    Program("simple-acme", r"simple-acme/%V", _DAILY_TASK,
            Habit(55 * _DAY, "renews on day 55, or earlier when the CA says so", "give it `--force`")),
    Program("step", r"(?:Smallstep CLI|step-http-client)/v?%V"),
    Program("Traefik", r"containous-traefik/v?%V",
            (Round(_DAY, "tell its resolver how long they live, in hours: `certificatesDuration`"),)),
    Program("uacme", r"uacme/%V",
            habit=Habit(30 * _DAY, _THIRTY, f"{_AT_EVERY_RUN}; from 1.7.6 on it asks the CA when to renew", (1, 7, 6))),
    Program("win-acme", r"win-acme/%V", _DAILY_TASK,
            Habit(55 * _DAY, "renews on day 55", "give it `--force`")),
    # Libraries, which others name behind themselves.
    Program("lego (Go)", r"xenolf-acme/v?%V"),
    Program("x/crypto/acme (Go)", r"golang\.org/x/crypto/acme(?:@v?%V)?"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Client:
    """A known client, and the version that it says, "" for none."""

    program: Program
    version: str

    @property
    def release(self) -> Release:
        """The version as numbers; none is before all others."""
        return tuple(int(one) for one in self.version.split(".") if one)

    @property
    def name(self) -> str:
        """`certbot 2.1.0`."""
        return f"{self.program.name} {self.version}".rstrip()


@lru_cache(maxsize=256)
def clean_user_agent(value: bytes) -> str:
    """A User-Agent as it is kept: printable ASCII, `?` for a run of all else, at most MAX_USER_AGENT octets."""
    return _UNPRINTABLE.sub("?", value[: 2 * MAX_USER_AGENT].decode("latin-1"))[:MAX_USER_AGENT].strip()


@lru_cache(maxsize=1024)
def recognise(user_agent: str) -> Client | None:
    """The client that calls itself so; None for one that nothing is known of."""
    for program, pattern in _patterns():
        if found := pattern.search(user_agent):
            return Client(program, found.groupdict().get("version") or "")
    return None


@lru_cache(maxsize=1)
def _patterns() -> tuple[tuple[Program, re.Pattern[str]], ...]:
    """The expressions of all programs: a name begins where no other one goes on, and so it ends."""
    return tuple(
        (one, re.compile(rf"(?<![\w./-])(?:{one.agent.replace('%V', _VERSION)})(?![\w-])", re.ASCII))
        for one in PROGRAMS
    )


def name_client(user_agent: str) -> str:
    """`certbot 2.1.0` for a known client, the first word of another's User-Agent, "" where there is none."""
    client = recognise(user_agent)
    return user_agent.partition(" ")[0] if client is None else client.name


def is_same_client(one: str, other: str) -> bool:
    """Are these User-Agents of one client in one version? certbot's says how it was called, too."""
    return one == other or (recognise(one) is not None and recognise(one) == recognise(other))
