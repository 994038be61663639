"""`dayfly ca token`: a one-time token on standard output, everything else on standard error (step-compat.md part 4)."""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import msgspec
from cryptography.hazmat.primitives.serialization import Encoding

from dayfly.cli.answers import now
from dayfly.cli.ca_target import Target, ca_url_option, find_ca, none_of_these, not_taken, root_option
from dayfly.cli.files import check_targets, write_file
from dayfly.cli.output import emit, home_option, json_option, say
from dayfly.cli.provisioning import (
    Signer,
    TokenFor,
    choose,
    list_provisioners,
    load_signing_key,
    mint,
    open_key,
    provisioner_options,
)
from dayfly.cli.renewing.pair import load_pair
from dayfly.cli.requesting import common_name_of, load_csr, moment_of, parse_names
from dayfly.core.jose.encoding import EncodingError, b64u_decode, strict_json_object
from dayfly.core.jose.jwk import thumbprint_of
from dayfly.core.problems import Refused
from dayfly.core.step.asked import parse_serial
from dayfly.core.step.audiences import Endpoint
from dayfly.core.step.token_making import JTI_OCTETS, make_jti, sign_renewal_token
from dayfly.errors import UsageError

_SSH = "SSH certificates are not issued here"
_CERTIFICATE_TIMES = "a token does not carry the certificate's times; give them to `dayfly ca certificate` or `ca sign`"
_path = click.Path(path_type=Path)


@click.command()
@click.argument("subject")
@home_option
@ca_url_option
@root_option
@provisioner_options
@click.option("--key", type=_path, help="The provisioner's private key, in a file; else the CA is asked for it.")
@click.option("--san", multiple=True, help="A name that the certificate shall have; repeat for more. Default: SUBJECT.")
@click.option("--not-before", help="When the token begins to count: a duration from now, or an RFC 3339 time.")
@click.option("--not-after", help="When it ends: a duration from now, or an RFC 3339 time. Default: 5m.")
@click.option("--cnf", help="SHA-256 of the one request that it is good for, base64url or hex.")
@click.option("--cnf-file", type=_path, help="File of the one request that it is good for.")
@click.option("--set", "pairs", multiple=True, metavar="KEY=VALUE", help="Data to go along, in the claim `user`.")
@click.option("--set-file", type=_path, help="JSON file of data to go along.")
@click.option("--revoke", is_flag=True, help="For a revocation; SUBJECT is the serial number.")
@click.option("--renew", is_flag=True, help="For the renewal of the certificate in --x5c-cert; SUBJECT is its CN.")
@click.option("--x5c-cert", type=_path, help="With --renew: the certificate with its chain.")
@click.option("--x5c-key", type=_path, help="With --renew: the certificate's key.")
@click.option("--offline", is_flag=True, help="Ask nobody: takes --provisioner and --key.")
@click.option("--output-file", type=_path, help="Write the token into this file, mode 0600.")
@click.option("-f", "--force", is_flag=True, help="Overwrite an existing file.")
@not_taken("--rekey", "a certificate asks for its own new key: dayfly ca rekey CRT KEY", is_flag=True)
@not_taken("--cert-not-before", _CERTIFICATE_TIMES)
@not_taken("--cert-not-after", _CERTIFICATE_TIMES)
@not_taken("--ssh", _SSH, is_flag=True)
@not_taken("--host", _SSH, is_flag=True)
@not_taken("--principal", _SSH)
@not_taken("--sshpop-cert", _SSH)
@not_taken("--sshpop-key", _SSH)
@not_taken("--x5c-insecure", "a renewal token always has it so, and no other token brings a chain", is_flag=True)
@not_taken("--k8ssa-token-path", "there are no provisioners for service accounts yet")
@not_taken("--nebula-cert", "there are no Nebula provisioners")
@not_taken("--nebula-key", "there are no Nebula provisioners")
@none_of_these("--context", "--kms", "--ca-config")
@json_option
def token(subject: str, home: str | None, as_json: bool, **options: Any) -> None:  # noqa: ANN401 - click's bag
    """Make a one-time token for SUBJECT: who holds it may get that certificate once, within minutes."""
    _check_together(options)
    target = find_ca(home, options["ca_url"], options["root"])
    output: Path | None = options["output_file"]
    if output is not None:
        check_targets((output,), force=options["force"])
    at = now()
    made = _renewal(subject, target, options, at) if options["renew"] else _one_time(subject, home, target, options, at)
    if output is not None:
        write_file(output, made.encode("ascii") + b"\n", mode=0o600)
        say(f"Your token has been saved in {output}.")
    if as_json:
        emit({"token": None if output else made, "file": str(output) if output else None})
    elif output is None:
        click.echo(made)


def _check_together(options: Mapping[str, Any]) -> None:
    """Flags that have no meaning together, or without another, are told."""
    if options["revoke"] and options["renew"]:
        raise UsageError("--revoke and --renew are two different tokens", hint="leave one of them out")
    if (options["revoke"] or options["renew"]) and (options["san"] or options["cnf"] or options["cnf_file"]):
        raise UsageError("--san and --cnf have no meaning for this token", hint="leave them out")
    if options["cnf"] and options["cnf_file"]:
        raise UsageError("--cnf and --cnf-file say the same thing twice", hint="leave one of them out")
    if options["renew"] and not (options["x5c_cert"] and options["x5c_key"]):
        raise UsageError("--renew takes --x5c-cert and --x5c-key", hint="name the certificate and its key")
    if not options["renew"] and (options["x5c_cert"] or options["x5c_key"]):
        raise UsageError("--x5c-cert and --x5c-key are for --renew; there are no X5C provisioners yet")
    if options["offline"] and not options["renew"] and not (options["provisioner"] and options["key"]):
        raise UsageError("--offline takes --provisioner and --key", hint="without them the CA has to be asked")


def _renewal(subject: str, target: Target, options: Mapping[str, Any], at: datetime) -> str:
    """The token with which a certificate renews itself."""
    pair = load_pair(options["x5c_cert"], options["x5c_key"], password_file=options["password_file"])
    if subject != common_name_of(pair.leaf):
        raise UsageError(
            f"{subject!r} is not the CN of the certificate", hint=f"its CN is {common_name_of(pair.leaf)!r}"
        )
    jti = make_jti(secrets.token_bytes(JTI_OCTETS))
    return sign_renewal_token(subject, pair.chain, key=pair.key, base_url=target.url, now=at, jti=jti)


def _one_time(subject: str, home: str | None, target: Target, options: Mapping[str, Any], at: datetime) -> str:
    """A token of a JWK provisioner."""
    wanted = _wanted(subject, options)
    times = {
        "begin": moment_of(options["not_before"], "--not-before", now=at),
        "end": moment_of(options["not_after"], "--not-after", now=at),
    }
    return mint(_signer(home, target, options), target, wanted, now=at, **times)


def _wanted(subject: str, options: Mapping[str, Any]) -> TokenFor:
    user = _user(options)
    if options["revoke"]:
        try:
            return TokenFor(Endpoint.REVOKE, str(parse_serial(subject)), None, user=user)
        except Refused as error:
            raise UsageError(f"{subject!r} is no serial number: {error.detail}") from None
    names = parse_names(options["san"] or (subject,))
    csr = load_csr(options["cnf_file"]).public_bytes(Encoding.DER) if options["cnf_file"] else None
    cnf = _digest(options["cnf"]) if options["cnf"] else None
    return TokenFor(Endpoint.SIGN, subject, tuple(one.value for one in names), csr=csr, cnf=cnf, user=user)


def _digest(text: str) -> bytes:
    """A SHA-256 in base64url, as `step certificate fingerprint` gives it, or in hex; UsageError."""
    for read in (b64u_decode, bytes.fromhex, base64.b64decode):
        try:
            digest = read(text)
        except (EncodingError, ValueError, binascii.Error):
            continue
        if len(digest) == 32:
            return digest
    raise UsageError("--cnf is no SHA-256 in base64url or hex", hint="or name the request: --cnf-file FILE")


def _user(options: Mapping[str, Any]) -> dict[str, Any]:
    """What --set-file and --set add; --set wins. UsageError."""
    document: dict[str, Any] = {}
    if (path := options["set_file"]) is not None:
        try:
            document = strict_json_object(path.read_bytes())
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}") from None
        except EncodingError as error:
            raise UsageError(f"{path} holds no JSON object: {error}") from None
    for pair in options["pairs"]:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise UsageError(f"--set {pair!r} is not KEY=VALUE")
        document[name] = _value(value)
    return document


def _value(text: str) -> object:
    """JSON where it is JSON, else the text, as step has it."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def _signer(home: str | None, target: Target, options: Mapping[str, Any]) -> Signer:
    if options["offline"]:
        return _own_signer(options["provisioner"], options)
    with target.connect() as transport:
        found = list_provisioners(transport, target.url)
        chosen = choose(found, types=("JWK",), name=options["provisioner"], kid=options["kid"])
        if options["key"] is not None:
            return _own_signer(chosen.name, {**options, "kid": chosen.kid})
        return open_key(transport, target.url, chosen, home=home, options=options)


def _own_signer(name: str, options: Mapping[str, Any]) -> Signer:
    key = load_signing_key(options["key"], options=options)
    return Signer(name, options["kid"] or thumbprint_of(key.public_key()), key)
