"""`dayfly ca revoke`: by a token of a provisioner, by the certificate itself (step-compat.md part 6), or at home."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from dayfly.cli.answers import now
from dayfly.cli.ca_target import Target, ca_url_option, find_ca, none_of_these, root_option
from dayfly.cli.given_token import read_token, target_of
from dayfly.cli.output import emit, home_option, json_option, say, tick
from dayfly.cli.provisioning import TokenFor, choose, list_provisioners, mint, open_key, provisioner_options
from dayfly.cli.renewing.pair import load_pair
from dayfly.client.step import request_revocation
from dayfly.core.problems import Refused
from dayfly.core.step.asked import parse_serial
from dayfly.core.step.audiences import Endpoint
from dayfly.core.step.requests import RevokeRequest
from dayfly.core.x509.reasons import REASON_CODES
from dayfly.core.x509.reasons import REASONS as WORDS
from dayfly.errors import UsageError
from dayfly.home import resolve_home

# In step's spelling, which is lower case.
REASONS: Mapping[str, int] = {word.lower(): code for word, code in WORDS.items()}
SELECTIONS = ("file", "name", "account", "owner")
REMOTE = ("token", "ca_url", "root", "provisioner", "kid", "password_file", "provisioner_password_file")
_path = click.Path(path_type=Path)


@click.command()
@click.argument("serial", required=False)
@home_option
@ca_url_option
@root_option
@provisioner_options
@click.option("--cert", type=_path, help="The certificate to revoke, which speaks for itself; in place of SERIAL.")
@click.option("--key", type=_path, help="Its key.")
@click.option("--token", help="One-time token for this revocation, else DAYFLY_TOKEN; without one it is made here.")
@click.option("--file", type=_path, metavar="CRT", help="On the CA's host: the certificate in this file.")
@click.option("--name", help="On the CA's host: all with this name, or *.a.b (one label), **.a.b (any depth).")
@click.option("--account", metavar="URL", help="On the CA's host: all that this ACME account was given.")
@click.option("--owner", help="On the CA's host: all of this owner.")
@click.option("--dry-run", is_flag=True, help="On the CA's host: show what would be revoked, and change nothing.")
@click.option("--yes", is_flag=True, help="On the CA's host: ask no question.")
@click.option("--reason", default="", help="Why, in words.")
@click.option("--reasonCode", "code", default="0", help="Why, as a number of RFC 5280 or its name, as keyCompromise.")
@none_of_these("--context", "--offline", "--ca-config", "--kms")
@json_option
def revoke(serial: str | None, home: str | None, as_json: bool, **options: Any) -> None:  # noqa: ANN401 - click's bag
    """Revoke the certificate with this SERIAL number, decimal or 0x and hex; it renews no more.

    In the CA's own home no token is needed, and many can be revoked at once: by name, account or owner.
    """
    code = _reason_code(options["code"])
    if _is_local(serial, home, options):
        from dayfly.cli.ca_revoke_here import revoke_here

        number = None if serial is None else _serial(serial)
        revoke_here(number, home, {**options, "code": code}, as_json=as_json)
        return
    if options["cert"] is not None or options["key"] is not None:
        number, target = _by_itself(serial, home, options, code)
    else:
        number, target = _by_token(serial, home, options, code)
    say(f"Certificate with Serial Number {number} has been revoked.")
    if as_json:
        emit({"revoked": True, "serial": str(number), "serial_hex": f"{number:x}", "ca": target.url})


def _is_local(serial: str | None, home: str | None, options: Mapping[str, Any]) -> bool:
    """Is the CA's home meant? A selection says so, or its being here and nothing that names another way."""
    selects = [flag for flag in SELECTIONS if options[flag] is not None]
    if serial is None and not selects:
        return False
    if selects and (serial is not None or options["cert"] is not None or options["token"] is not None):
        raise UsageError(f"beside --{selects[0]} there is neither SERIAL nor --cert nor --token", hint="leave them out")
    if options["file"] is not None and selects != ["file"]:
        raise UsageError("--file names one certificate, and goes with no other selection", hint="leave the other out")
    here = is_meant_here(home, options)
    if (options["dry_run"] or options["yes"]) and not here and not selects:
        raise UsageError("--dry-run and --yes are for the CA's own host", hint="name the CA's home: --home DIR")
    return bool(selects) or here


def is_meant_here(home: str | None, options: Mapping[str, Any]) -> bool:
    """Is it the CA's own home, and nothing names another way?"""
    if options["cert"] is not None or any(options[one] for one in REMOTE) or os.environ.get("DAYFLY_TOKEN"):
        return False
    return os.access(resolve_home(home, os.environ, Path.home()) / "ca.toml", os.F_OK)


def _reason_code(text: str) -> int:
    code = int(text) if text.isascii() and text.isdigit() and len(text) < 4 else REASONS.get(text.lower(), -1)
    if code in {6, 8}:
        raise UsageError(
            "a revocation here is for ever: nothing is held and let go again", hint="choose another reason"
        )
    if code not in REASON_CODES:
        names = ", ".join(name for name, number in REASONS.items() if number in REASON_CODES)
        raise UsageError(f"{text!r} is no reason code", hint=f"a number of RFC 5280 5.3.1, or one of {names}")
    return code


def _by_itself(serial: str | None, home: str | None, options: Mapping[str, Any], code: int) -> tuple[int, Target]:
    """The certificate is shown on the connection, and may revoke itself alone."""
    if options["cert"] is None or options["key"] is None:
        raise UsageError("--cert and --key come together", hint="name the certificate and its key")
    if serial is not None or options["token"] is not None:
        raise UsageError("beside --cert there is neither SERIAL nor --token", hint="leave them out")
    pair = load_pair(options["cert"], options["key"], password_file=options["password_file"])
    target = find_ca(home, options["ca_url"], options["root"])
    tick("CA", target.url)
    number = pair.leaf.serial_number
    with target.connect(pair.shown) as transport:
        request_revocation(transport, target.url, RevokeRequest(number, "", code, options["reason"]))
    return number, target


def _by_token(serial: str | None, home: str | None, options: dict[str, Any], code: int) -> tuple[int, Target]:
    if serial is None:
        raise UsageError(
            "no serial number is given",
            hint="see it: dayfly ca list on the CA's host, or dayfly certificate inspect CRT --json; or name the pair: "
            "--cert CRT --key KEY",
        )
    number = _serial(serial)
    text = options["token"] or os.environ.get("DAYFLY_TOKEN")
    given = read_token(text, subject=str(number), endpoint=Endpoint.REVOKE) if text else None
    target = target_of(given, home, options) if given else find_ca(home, options["ca_url"], options["root"])
    token = given.text if given else _make_token(number, target, home, options)
    tick("CA", target.url)
    with target.connect() as transport:
        request_revocation(transport, target.url, RevokeRequest(number, token, code, options["reason"]))
    return number, target


def _serial(text: str) -> int:
    try:
        return parse_serial(text)
    except Refused as error:
        raise UsageError(
            f"{text!r} is no serial number: {error.detail}",
            hint="write it in decimal, or as 0x and hex, as dayfly ca list prints it",
        ) from None


def _make_token(number: int, target: Target, home: str | None, options: Mapping[str, Any]) -> str:
    with target.connect() as transport:
        found = list_provisioners(transport, target.url)
        chosen = choose(found, types=("JWK",), name=options["provisioner"], kid=options["kid"])
        signer = open_key(transport, target.url, chosen, home=home, options=options)
    return mint(signer, target, TokenFor(Endpoint.REVOKE, str(number), None), now=now())
