"""`dayfly ca renew` and `ca rekey`: a pair in files, fresh again, once or for as long as it runs, in step's words."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from dayfly.cli.answers import describe, now
from dayfly.cli.files import check_targets
from dayfly.cli.output import emit, say, tick
from dayfly.cli.renewing.keeping import (
    Kept,
    MakeKey,
    Places,
    check_within,
    is_time,
    not_due,
    parse_cadence,
    prepare,
    renewal_options,
)
from dayfly.cli.renewing.pair import load_private_key
from dayfly.cli.requesting import check_key_options, key_options, make_key
from dayfly.core.renewing import Cadence
from dayfly.errors import UsageError

_path = click.Path(path_type=Path)


@click.command()
@click.argument("crt", type=_path)
@click.argument("key", type=_path)
@click.option("--out", type=_path, help="Where the new certificate goes; CRT by default.")
@click.option(
    "--mtls",
    type=bool,
    is_flag=False,
    flag_value=True,
    default=True,
    show_default=True,
    help="Show the certificate to the CA; with --mtls=false its key signs a token instead.",
)
@click.option("--renew-period", "period", help="With --daemon: renew so often, as 16h.")
@renewal_options
def renew(crt: Path, key: Path, home: str | None, as_json: bool, **options: Any) -> None:  # noqa: ANN401 - click's bag
    """Renew the certificate in CRT with its own key in KEY; an expired one too, where the CA allows that."""
    places = Places(crt, key, options["out"] or crt, key)
    cadence = parse_cadence(options, "--renew-period")
    kept = prepare(places, home, options, by_token=not options["mtls"])
    if options["daemon"]:
        _run_daemon(kept, cadence, "--renew-period", verb="renewed", as_json=as_json)
    elif _once(kept, cadence, options, verb="renewed", as_json=as_json):
        say(f"Your certificate has been saved in {places.out_crt}.")
        _finish(kept, verb="renewed", as_json=as_json)


@click.command()
@click.argument("crt", type=_path)
@click.argument("key", type=_path)
@click.option("--out-cert", type=_path, help="Where the new certificate goes; CRT by default.")
@click.option("--out-key", type=_path, help="Where the new key goes; KEY by default.")
@click.option("--private-key", type=_path, help="File of the new key; else one is made.")
@key_options
@click.option("--rekey-period", "period", help="With --daemon: rekey so often, as 16h.")
@renewal_options
def rekey(crt: Path, key: Path, home: str | None, as_json: bool, **options: Any) -> None:  # noqa: ANN401 - click's bag
    """Renew the certificate in CRT for a new key: the chain into CRT, the key into KEY."""
    places = Places(crt, key, options["out_cert"] or crt, options["out_key"] or key)
    cadence = parse_cadence(options, "--rekey-period")
    writes_key = options["private_key"] is None or options["out_key"] is not None
    kept = prepare(places, home, options, make_key=_key_maker(options), writes_key=writes_key)
    if options["daemon"]:
        if options["private_key"] is not None:
            raise UsageError("--private-key is one key, and --daemon needs a new one each time", hint="leave one out")
        _run_daemon(kept, cadence, "--rekey-period", verb="rekeyed", as_json=as_json)
    elif _once(kept, cadence, options, verb="rekeyed", as_json=as_json):
        tick("Certificate", str(places.out_crt))
        if writes_key:
            tick("Private Key", str(places.out_key))
        _finish(kept, verb="rekeyed", as_json=as_json)


def _key_maker(options: Mapping[str, Any]) -> MakeKey:
    """The key that was given, read now, or a new one of the kind that was asked for; UsageError."""
    if options["private_key"] is not None:
        given, _ = load_private_key(options["private_key"], password_file=options["password_file"])
        return lambda: given
    kty, curve, size = options["kty"], options["curve"], options["size"]
    check_key_options(kty, curve, size)
    return lambda: make_key(kty, curve, size)


def _once(kept: Kept, cadence: Cadence, options: Mapping[str, Any], *, verb: str, as_json: bool) -> bool:
    """One run: False where it is not due, and is left as it is."""
    with kept.places.locked():
        pair = kept.load()
    check_within(cadence, pair.life, "--expires-in")
    if not is_time(cadence, pair):
        not_due(pair, verb=verb, as_json=as_json)
        return False
    check_targets(kept.written, force=options["force"])
    with kept.places.locked() as spots:
        fresh = kept.load()
        if fresh.leaf != pair.leaf and not is_time(cadence, fresh):  # somebody was faster
            not_due(fresh, verb=verb, as_json=as_json)
            return False
        kept.exchange(fresh, spots)
    return True


def _finish(kept: Kept, *, verb: str, as_json: bool) -> None:
    """Tell who has to know; the facts as JSON come first, for they are true whatever the others say."""
    if as_json and kept.issued is not None:
        emit({verb: True, **describe(kept.issued.certificate, certificate=str(kept.places.out_crt))})
    kept.tell(threading.Event())


def _run_daemon(kept: Kept, cadence: Cadence, period_flag: str, *, verb: str, as_json: bool) -> None:
    from dayfly.agent.clock import SystemClock
    from dayfly.cli.renewing.daemon import Daemon, SignalInbox

    inbox = SignalInbox()
    inbox.catch()
    check_within(cadence, kept.look(), period_flag)
    info, error = _lines(as_json=as_json)
    Daemon(kept, cadence, SystemClock(), inbox, info, error, verb=verb).run()


def _lines(*, as_json: bool) -> tuple[Callable[[str], None], Callable[[str], None]]:
    """Where the daemon's lines go: step's own, or objects."""

    def write(level: str, text: str) -> None:
        at: datetime = now()
        if as_json:
            line = msgspec.json.encode({"at": at, "level": level.lower(), "text": text}).decode()
        else:
            line = f"{level}: {at.astimezone():%Y/%m/%d %H:%M:%S} {text}"
        stream = sys.stdout if level == "INFO" or as_json else sys.stderr
        click.echo(line, file=stream)

    return (lambda text: write("INFO", text)), (lambda text: write("ERROR", text))
