"""`dayfly ca revoke`: by a token of a provisioner's key, or by the certificate itself (step-compat.md part 6)."""

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
from dayfly.core.step.messages import RevokeRequest, parse_serial
from dayfly.core.step.tokens import Endpoint
from dayfly.core.x509.reasons import REASON_CODES
from dayfly.errors import UsageError

# RFC 5280 5.3.1, in step's spelling.
REASONS: Mapping[str, int] = {
    "unspecified": 0,
    "keycompromise": 1,
    "cacompromise": 2,
    "affiliationchanged": 3,
    "superseded": 4,
    "cessationofoperation": 5,
    "certificatehold": 6,
    "removefromcrl": 8,
    "privilegewithdrawn": 9,
    "aacompromise": 10,
}
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
@click.option("--reason", default="", help="Why, in words.")
@click.option("--reasonCode", "code", default="0", help="Why, as a number of RFC 5280 or its name, as keyCompromise.")
@none_of_these("--context", "--offline", "--ca-config", "--kms")
@json_option
def revoke(serial: str | None, home: str | None, as_json: bool, **options: Any) -> None:  # noqa: ANN401 - click's bag
    """Revoke the certificate with this SERIAL number, decimal or 0x and hex; it renews no more."""
    code = _reason_code(options["code"])
    if options["cert"] is not None or options["key"] is not None:
        number, target = _by_itself(serial, home, options, code)
    else:
        number, target = _by_token(serial, home, options, code)
    say(f"Certificate with Serial Number {number} has been revoked.")
    if as_json:
        emit({"revoked": True, "serial": str(number), "serial_hex": f"{number:x}", "ca": target.url})


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
    try:
        number = parse_serial(serial)
    except Refused as error:
        raise UsageError(
            f"{serial!r} is no serial number: {error.detail}",
            hint="write it in decimal, or as 0x and hex, as dayfly ca list prints it",
        ) from None
    text = options["token"] or os.environ.get("DAYFLY_TOKEN")
    given = read_token(text, subject=str(number), endpoint=Endpoint.REVOKE) if text else None
    target = target_of(given, home, options) if given else find_ca(home, options["ca_url"], options["root"])
    token = given.text if given else _make_token(number, target, home, options)
    tick("CA", target.url)
    with target.connect() as transport:
        request_revocation(transport, target.url, RevokeRequest(number, token, code, options["reason"]))
    return number, target


def _make_token(number: int, target: Target, home: str | None, options: Mapping[str, Any]) -> str:
    with target.connect() as transport:
        found = list_provisioners(transport, target.url)
        chosen = choose(found, types=("JWK",), name=options["provisioner"], kid=options["kid"])
        signer = open_key(transport, target.url, chosen, home=home, options=options)
    return mint(signer, target, TokenFor(Endpoint.REVOKE, str(number), None), now=now())
