"""A pair in files that is renewed or rekeyed, once or again and again: what both commands and their daemons share.

1. The lock, and where the files lie.  2. The pair as it is on disk now.  3. Is it due?  4. The exchange, verified.
5. The files, whole.
"""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import click

from dayfly.cli.answers import Issued, now
from dayfly.cli.ca_target import Target, ca_url_option, find_ca, none_of_these, root_option
from dayfly.cli.output import emit, home_option, json_option
from dayfly.cli.renewing.after import After, after_options, parse_after
from dayfly.cli.renewing.pair import (
    Pair,
    Replacement,
    load_pair,
    locked,
    refuse_managed,
    rehearse,
    render_key,
    replace_files,
)
from dayfly.cli.renewing.spots import Spots, refuse_moved
from dayfly.cli.renewing.suggested import suggested
from dayfly.cli.requesting import CertificateKey, common_name_of, names_of
from dayfly.client.renewals import Suggestion, certificate_id
from dayfly.core.policy.lifetimes import parse_duration, render_duration
from dayfly.core.renewing import Cadence, CadenceError, Life, check_cadence, is_due, parse_expires_in
from dayfly.errors import UsageError

Command = TypeVar("Command", bound=Callable[..., Any])
MakeKey = Callable[[], CertificateKey]


def renewal_options(command: Command) -> Command:
    """What `ca renew` and `ca rekey` have in common."""
    path = click.Path(path_type=Path)
    for decorate in (
        json_option,
        none_of_these("--context", "--offline", "--kms", "--ca-config"),
        click.option("-f", "--force", is_flag=True, help="Overwrite the files without asking."),
        after_options,
        click.option("--daemon", is_flag=True, help="Run on, and do it again in time; SIGHUP does it at once."),
        click.option("--expires-in", help="Only when so much of its life is left, as 8h, or has passed, as 66%."),
        click.option(
            "--password-file", type=path, help="File with the password of the key, else DAYFLY_PASSWORD_FILE."
        ),
        root_option,
        ca_url_option,
        home_option,
    ):
        command = decorate(command)
    return command


@dataclass(frozen=True, slots=True)
class Places:
    """Which files are read, and which are written; the written ones may be the same."""

    crt: Path
    key: Path
    out_crt: Path
    out_key: Path

    def locked(self) -> AbstractContextManager[Spots]:
        """Hold all of them, where they lie now: a pair is two files, and is read or replaced as one."""
        return locked(self.crt, self.key, self.out_crt, self.out_key)

    @property
    def is_apart(self) -> bool:
        """Do the new files lie beside the old ones?"""
        return (self.crt, self.key) != (self.out_crt, self.out_key)


@dataclass
class Kept:
    """The pair, the CA, and how it is made fresh; `make_key` stands for a rekey.

    The password of the key is asked for once, and the files are read again before each exchange.
    """

    places: Places
    target: Target
    after: After
    by_token: bool = False
    make_key: MakeKey | None = None
    writes_key: bool = True
    password_file: Path | None = None
    password: bytes | None = field(default=None, repr=False)
    subject: str = ""
    issued: Issued | None = None
    named: str = ""

    @property
    def written(self) -> tuple[Path, ...]:
        """The files that an exchange replaces."""
        is_new = self.make_key is not None and self.writes_key
        return (self.places.out_crt, self.places.out_key) if is_new else (self.places.out_crt,)

    def load(self) -> Pair:
        """The pair as it is now, with the lock held: the one that was named, or what came of it before; UsageError."""
        places = self.places
        pair = self._load(places.crt, places.key)
        if places.is_apart and places.out_crt.exists() and places.out_key.exists():
            with contextlib.suppress(UsageError):
                made = self._load(places.out_crt, places.out_key)
                if made.life.end > pair.life.end and set(names_of(made.leaf)) == set(names_of(pair.leaf)):
                    pair = made
        self.password = pair.password
        self.subject = common_name_of(pair.leaf) or str(places.crt)
        self.named = certificate_id(pair.leaf)
        return pair

    def _load(self, crt: Path, key: Path) -> Pair:
        return load_pair(crt, key, password_file=self.password_file, password=self.password)

    def look(self) -> Life:
        """The life of what is there now; UsageError."""
        with self.places.locked():
            return self.load().life

    def renew(self) -> Life:
        """One exchange, under the lock; ClientError, UsageError."""
        with self.places.locked() as spots:
            return self.exchange(self.load(), spots)

    def exchange(self, pair: Pair, spots: Spots) -> Life:
        """One exchange with the lock held since before the pair was read: ask, verify, write where it lay then."""
        from dayfly.cli.renewing.exchange import rekey, renew

        refuse_moved(spots)
        rehearse(tuple(spots[path] for path in self.written))
        at = now()
        files: tuple[Replacement, ...] = ()
        if self.make_key is None:
            issued = renew(pair, self.target, by_token=self.by_token, now=at)
        else:
            made = self.make_key()
            issued = rekey(pair, self.target, made, now=at)
            if self.writes_key:
                files = (Replacement(spots[self.places.out_key], render_key(made, password=pair.password), 0o600),)
        chain = issued.chain.encode("ascii")
        replace_files((*files, Replacement(spots[self.places.out_crt], chain, 0o600)))
        self.issued, self.named = issued, certificate_id(issued.certificate)
        return Life(issued.certificate.not_valid_before_utc, issued.certificate.not_valid_after_utc)

    def suggest(self) -> Suggestion | None:
        """When the CA wants the certificate that was read last renewed; None where it does not say. ClientError."""
        return suggested(self.target, self.named)

    def tell(self, stop: threading.Event) -> None:
        """Tell who has to know."""
        self.after.tell(self.places.out_crt, stop)


def prepare(places: Places, home: str | None, options: Mapping[str, Any], **more: Any) -> Kept:  # noqa: ANN401 - fields
    """Everything that can be wrong before the CA is asked; UsageError, AgentError."""
    for path in (places.crt, places.key, places.out_crt, places.out_key):
        refuse_managed(path)
    after = parse_after(options)
    after.check()
    target = find_ca(home, options["ca_url"], options["root"])
    return Kept(places, target, after, password_file=options["password_file"], **more)


def parse_cadence(options: Mapping[str, Any], period_flag: str) -> Cadence:
    """When it is time; UsageError where the flags contradict each other."""
    expires_in, period = options["expires_in"], options["period"]
    if expires_in and period:
        raise UsageError(f"--expires-in and {period_flag} are two different plans", hint="leave one of them out")
    if period and not options["daemon"]:
        raise UsageError(f"{period_flag} takes --daemon", hint="a single run has no period")
    try:
        if period:
            return Cadence(period=parse_duration(period))
        return parse_expires_in(expires_in) if expires_in else Cadence()
    except ValueError as error:
        flag = period_flag if period else "--expires-in"
        raise UsageError(f"{flag}: {error}", hint="write it as 8h, or for --expires-in as 66%") from None


def check_within(cadence: Cadence, life: Life, period_flag: str) -> None:
    """Raise UsageError for a plan that this certificate's life cannot hold."""
    try:
        check_cadence(cadence, life)
    except CadenceError as error:
        flag = period_flag if cadence.period is not None else "--expires-in"
        raise UsageError(f"{flag}: {error}", hint=f"it lives for {render_duration(life.length)}") from None


def is_time(cadence: Cadence, pair: Pair) -> bool:
    """Is the pair due?"""
    return is_due(cadence, pair.life, now=now(), jitter=random.random())  # noqa: S311 - spreads load, no secret


def not_due(pair: Pair, *, verb: str, as_json: bool) -> None:
    """Step's line for a pair that is left as it is; it is no error."""
    left = pair.life.end - now()
    click.echo(f"certificate not {verb}: expires in {render_duration(_rounded(left))}", err=True)
    if as_json:
        emit({verb: False, "certificate": str(pair.crt), "not_after": _iso(pair.life.end)})


def _rounded(span: timedelta) -> timedelta:
    return timedelta(seconds=round(span.total_seconds()))


def _iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
