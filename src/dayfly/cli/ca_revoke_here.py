"""`dayfly ca revoke` on the CA's own host: by serial or file, and many at once by name, account or owner.

Rules: no token and no key is asked for, for whoever has the home has the CA; what is more than one certificate is shown
first, and a person says yes, at a terminal or by --yes; --dry-run shows, and changes nothing.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
from cryptography.hazmat.primitives.serialization import Encoding

from dayfly.adapters.system import SystemClock
from dayfly.cli.certificate.sources import load_certificates
from dayfly.cli.output import emit, say
from dayfly.cli.tables import render_line, render_moment
from dayfly.config.values import Config
from dayfly.core.acme.objects import Certificate
from dayfly.core.fleet.selecting import Selection
from dayfly.core.ids import parse_id
from dayfly.core.policy.rules import RuleError, parse_pattern
from dayfly.errors import UsageError
from dayfly.wiring.homes import enter_home
from dayfly.wiring.revoking import Revoked, find_all, find_file, find_serial, revoke_all

HEAD = ("owner", "certificate", "provisioner", "not after", "serial")
WIDTHS = (16, 40, 16, 21, 0)
SHOWN = 20  # lines before a question; --dry-run shows all
TELL_EVERY = 500


def revoke_here(serial: int | None, home: str | None, options: Mapping[str, Any], *, as_json: bool) -> None:
    """Find what is meant, show it, ask, revoke, tell."""
    named = _named(options["file"])  # before root's rights are given up
    config = enter_home(home)
    found = asyncio.run(_find(config, serial, named, options))
    if options["dry_run"]:
        _tell(found, Revoked((), 0), as_json=as_json, dry_run=True)
        return
    if serial is None and named is None:
        _confirm(found, yes=options["yes"])
    done = asyncio.run(revoke_all(config, found, reason=options["code"], told=_progress(len(found))))
    if len(found) == 1 and done.already:
        raise UsageError("the certificate is already revoked")
    _tell(found, done, as_json=as_json, dry_run=False)


def _named(path: Path | None) -> bytes | None:
    """The first certificate of a file, DER."""
    return None if path is None else load_certificates(str(path)).certificates[0].public_bytes(Encoding.DER)


async def _find(
    config: Config, serial: int | None, named: bytes | None, options: Mapping[str, Any]
) -> tuple[Certificate, ...]:
    if serial is not None:
        return (await find_serial(config, serial),)
    if named is not None:
        return (await find_file(config, named),)
    found = await find_all(config, _selection(options))
    if not found:
        raise UsageError("no living certificate is meant by this", hint="see what there is: dayfly ca list")
    return found


def _selection(options: Mapping[str, Any]) -> Selection:
    name, account = options["name"] or "", options["account"]
    if name.startswith("*"):
        try:
            parse_pattern(name, what="--name")
        except RuleError as error:
            raise UsageError(error.message, hint=error.hint) from None
    account_id = None if account is None else parse_id(account.rstrip("/").rpartition("/")[2])
    if account is not None and account_id is None:
        raise UsageError(f"{account!r} is no account", hint="name it by its URL, or the 16 digits at its end")
    return Selection(SystemClock().now(), owner=options["owner"] or "", name=name, account_id=account_id)


def _confirm(found: tuple[Certificate, ...], *, yes: bool) -> None:
    if yes:
        return
    count = f"{len(found)} certificate{'s' * (len(found) != 1)}"
    if not sys.stdin.isatty():
        hint = "look at them with --dry-run, then say --yes"
        raise UsageError(f"{count} would be revoked, and there is no terminal to ask at", hint=hint)
    for line in _lines(found[:SHOWN]):
        say(line)
    if len(found) > SHOWN:
        say(f"… and {len(found) - SHOWN} more: see all with --dry-run")
    answer = click.prompt(f"Revoke {count} for ever [y/n]", err=True, show_default=False)
    if answer.strip().lower() not in {"y", "yes"}:
        raise UsageError("nothing was revoked")


def _progress(total: int) -> Callable[[int], None]:
    """Says how far it is, every TELL_EVERY certificates."""
    told = 0

    def tell(done: int) -> None:
        nonlocal told
        if done - told >= TELL_EVERY:
            told = done
            say(f"{done} of {total}")

    return tell


def _tell(found: tuple[Certificate, ...], done: Revoked, *, as_json: bool, dry_run: bool) -> None:
    if as_json:
        shown = found if dry_run else done.certificates
        single = {} if len(found) != 1 else {"serial": str(found[0].serial), "serial_hex": f"{found[0].serial:x}"}
        listed = {"certificates": list(map(document, shown)), "already_revoked": done.already}
        emit({"revoked": not dry_run, **single, **listed})
    elif dry_run:
        for line in _lines(found):
            click.echo(line)
    if dry_run:
        say(f"{len(found)} certificate{'s' * (len(found) != 1)} would be revoked.")
        return
    if len(found) == 1 and done.certificates:
        say(f"Certificate with Serial Number {found[0].serial} has been revoked.")
        return
    already = f"; {done.already} had been already" if done.already else ""
    say(f"{len(done.certificates)} certificate{'s' * (len(done.certificates) != 1)} revoked{already}.")


def document(certificate: Certificate) -> dict[str, Any]:
    """One certificate as JSON, as `ca list` has it."""
    return {
        "serial": str(certificate.serial),
        "serial_hex": f"{certificate.serial:x}",
        "names": [one.value for one in certificate.names],
        "not_after": render_moment(certificate.not_after),
        "provisioner": certificate.provisioner,
        "owner": certificate.owner,
    }


def _lines(found: tuple[Certificate, ...]) -> list[str]:
    rows = [tuple(one.upper() for one in HEAD), *map(_row, found)]
    return [render_line(row, WIDTHS) for row in rows]


def _row(certificate: Certificate) -> tuple[str, ...]:
    first, *more = (one.value for one in certificate.names)
    names = f"{first} +{len(more)}" if more else first
    end, serial = render_moment(certificate.not_after), f"0x{certificate.serial:x}"
    return certificate.owner, names, certificate.provisioner or "(the CA)", end, serial
