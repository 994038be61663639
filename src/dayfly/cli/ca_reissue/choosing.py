"""Whom `ca reissue` is asked to mean: flags to a reissue, or an error that names the flag."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from dayfly.adapters.hierarchies import read_certificates
from dayfly.adapters.system import SystemClock
from dayfly.cli.certificate.sources import load_certificates
from dayfly.config.values import Config
from dayfly.core.fleet.reissuing import is_meant
from dayfly.core.ids import parse_id
from dayfly.core.policy.lifetimes import parse_duration
from dayfly.core.problems import Refused
from dayfly.core.settings.reissue_changes import NEW
from dayfly.core.settings.reissues import Reissue, check_reissue
from dayfly.core.step.asked import parse_serial
from dayfly.errors import ConfigError, UsageError
from dayfly.wiring.commands import certificates_of


@dataclass(slots=True)
class Meant:
    """Whom it means: how many, whose, until when the last lives, and what the longest life of them is."""

    count: int
    owners: set[str]
    until: datetime
    longest: timedelta


def check_alone(options: dict[str, Any], *, dry_run: bool) -> None:
    """Raise UsageError where anything is chosen beside --list or --cancel."""
    given = [name for name, value in options.items() if value and name != "within"]
    if given or dry_run:
        raise UsageError("--list and --cancel stand alone", hint="leave the other flags out")


def check_chosen(options: dict[str, Any]) -> None:
    """Raise UsageError where nothing is chosen, or everything and something."""
    chosen = any(
        options[one] for one in ("serials", "files", "names", "accounts", "owner", "provisioner", "old_issuer")
    )
    if not chosen and not options["everything"]:
        raise UsageError(
            "nothing is chosen", hint="name a serial, --cert, --name, --account, --owner, --provisioner, or --all"
        )
    if chosen and options["everything"]:
        raise UsageError("--all leaves no choice", hint="leave --all out, or the rest")


def wanted_of(config: Config, options: dict[str, Any]) -> Reissue:
    """What is asked for, under no number yet; UsageError names the flag."""
    now = SystemClock().now()
    serials = (*map(_serial, options["serials"]), *map(_serial_of, options["files"]))
    wanted = Reissue(
        NEW,
        at=now,
        within=_within(options["within"]),
        until=now,
        serials=tuple(dict.fromkeys(serials)),
        names=tuple(dict.fromkeys(one.lower() for one in options["names"])),
        accounts=tuple(dict.fromkeys(map(_account, options["accounts"]))),
        owner=options["owner"],
        provisioner=options["provisioner"],
        not_issuer=_issuer(config) if options["old_issuer"] else "",
        reason=options["reason"],
        explanation_url=options["explanation_url"],
    )
    try:
        check_reissue(wanted)
    except ConfigError as error:
        raise UsageError(error.message, hint=error.hint) from None
    return wanted


def _issuer(config: Config) -> str:
    return hashlib.sha256(read_certificates(config.issuer_certificate)[0]).hexdigest()


def _serial(text: str) -> str:
    try:
        return f"{parse_serial(text):x}"
    except Refused as error:
        hint = "write it in decimal, or as 0x and hex, as dayfly ca list prints it"
        raise UsageError(f"{text[:80]!r} is no serial number: {error.detail}", hint=hint) from None


def _serial_of(path: Path) -> str:
    return f"{load_certificates(str(path)).certificates[0].serial_number:x}"


def _account(text: str) -> str:
    name = text.rpartition("/")[2]
    if parse_id(name) is None:
        raise UsageError(f"{text[:80]!r} is no account", hint="name its id of 16 hex digits, or its URL")
    return name


def _within(text: str) -> timedelta:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"--within: {error}", hint="write it as 30m or 2h; 0s is at once") from None


async def find_meant(config: Config, wanted: Reissue) -> Meant:
    """Whom it means of those that live now."""
    found = Meant(0, set(), wanted.at, timedelta())
    async for certificate in certificates_of(config, wanted.at, everything=False):
        if is_meant(wanted, certificate):
            found.count += 1
            found.owners.add(certificate.owner)
            found.until = max(found.until, certificate.not_after)
            found.longest = max(found.longest, certificate.not_after - certificate.not_before)
    return found
