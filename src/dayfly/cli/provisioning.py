"""Which provisioner a client command goes through, its key, and the one-time token that the key signs.

1. The CA lists its provisioners.  2. The flags choose one; where several are left, a person does, or it is an error.
3. For a JWK provisioner its encrypted key is fetched and opened.  4. The key signs a token, which is good once.

Rules: a password that a flag names is the only one tried; without one those that this host knows are tried, then the
person is asked; key and password never leave the process.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import click
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from dayfly.adapters.keyfiles import read_file
from dayfly.cli import passwords
from dayfly.cli.ca_target import Target, home_of
from dayfly.cli.output import say, tick
from dayfly.client.step import StepRefused, fetch_encrypted_key, fetch_provisioners
from dayfly.client.transport import Transport, printable
from dayfly.core.jose.jwe import JWEError, decrypt_jwe
from dayfly.core.jose.jwk import thumbprint_of
from dayfly.core.jose.private import PrivateJWKError, parse_private_jwk
from dayfly.core.jose.signatures import PrivateKey
from dayfly.core.problems import Refused
from dayfly.core.step.audiences import Endpoint, audience
from dayfly.core.step.token_making import JTI_OCTETS, TokenClaims, make_jti, sign_token
from dayfly.core.step.tokens import USUAL
from dayfly.errors import ClientError, UsageError

Command = TypeVar("Command", bound=Callable[..., Any])

FLAGS = "--provisioner-password-file FILE"
_QUESTION = "Please enter the password to decrypt the provisioner key"


def provisioner_options(command: Command) -> Command:
    """`--provisioner`, `--kid` and where the password of its key is."""
    path = click.Path(path_type=Path)
    for option in (
        click.option("--password-file", type=path, help="As --provisioner-password-file, for which it stands in."),
        click.option(
            "--provisioner-password-file",
            type=path,
            envvar="DAYFLY_PROVISIONER_PASSWORD_FILE",
            help="File with the password of the provisioner's key.",
        ),
        click.option("--kid", help="Id of the provisioner's key."),
        click.option("--provisioner", "--issuer", envvar="DAYFLY_PROVISIONER", help="Name of the provisioner."),
    ):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class Provisioner:
    """What the CA says of one: type, name, and for JWK the id of its key."""

    type: str
    name: str
    kid: str = ""

    def __str__(self) -> str:
        """As step shows it."""
        return f"{self.name} ({self.type})" + (f" [kid: {self.kid}]" if self.kid else "")


def list_provisioners(transport: Transport, base_url: str) -> tuple[Provisioner, ...]:
    """All that can be used, in the CA's order; ClientError."""
    return tuple(
        Provisioner(printable(str(one.get("type"))), printable(str(one.get("name"))), _kid(one))
        for one in fetch_provisioners(transport, base_url)
        if one.get("state") != "Uninitialized"
    )


def _kid(one: Mapping[str, Any]) -> str:
    key = one.get("key")
    return printable(str(key.get("kid") or "")) if isinstance(key, Mapping) else ""


def choose(
    found: Sequence[Provisioner], *, types: tuple[str, ...], name: str | None = None, kid: str | None = None
) -> Provisioner:
    """The one that the flags mean, or a person does at a terminal; UsageError names what there is."""
    able = [one for one in found if one.type in types]
    left = [one for one in able if name in (None, one.name) and kid in (None, one.kid)]
    if not left:
        raise _nothing_fits(found, able, name, kid)
    chosen = left[0] if len(left) == 1 else _ask_which(left)
    tick("Provisioner", str(chosen))
    return chosen


def _nothing_fits(
    found: Sequence[Provisioner], able: Sequence[Provisioner], name: str | None, kid: str | None
) -> UsageError:
    wrong = next((one for one in found if one.name == name and one not in able), None)
    if wrong is not None:
        is_acme = wrong.type == "ACME"
        why = "which takes no tokens" if is_acme else "which this command does not know"
        hint = "ask by ACME: dayfly ca certificate NAME CRT KEY" if is_acme else "choose another one"
        return UsageError(f"the provisioner {wrong.name} is of type {wrong.type}, {why}", hint=hint)
    names = ", ".join(one.name for one in able) or "none"
    what = f"named {name}" if name else f"with the key {kid}" if kid else "that this command could use"
    return UsageError(f"the CA has no provisioner {what}", hint=f"those that fit: {names}")


def _ask_which(left: Sequence[Provisioner]) -> Provisioner:
    if not sys.stdin.isatty():
        hint = f"name one: --provisioner {left[0].name}; there are {', '.join(one.name for one in left)}"
        if len({one.name for one in left}) == 1:
            hint = f"name the key: --kid {left[0].kid}"
        raise UsageError("several provisioners fit, and there is no terminal to ask at", hint=hint)
    say("What provisioner do you want to use?")
    for number, one in enumerate(left, 1):
        say(f"  {number}. {one}")
    answer: int = click.prompt("Number", type=click.IntRange(1, len(left)), err=True)
    return left[answer - 1]


# --- its key ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Signer:
    """A provisioner's name, and the key that signs its tokens."""

    name: str
    kid: str
    key: PrivateKey = field(repr=False)


def open_key(
    transport: Transport, base_url: str, provisioner: Provisioner, *, home: str | None, options: Mapping[str, Any]
) -> Signer:
    """The provisioner's key as the CA gives it out, opened; ClientError, UsageError, ConfigError."""
    try:
        jwe = fetch_encrypted_key(transport, base_url, provisioner.kid)
    except StepRefused as error:
        if error.status != 404:
            raise
        raise UsageError(
            f"the CA does not give out the key of {provisioner.name}", hint="name the key's file: --key FILE"
        ) from None
    return Signer(provisioner.name, provisioner.kid, _parse_jwk(_decrypt(jwe, _candidates(home, options))))


def _candidates(home: str | None, options: Mapping[str, Any]) -> Iterator[tuple[bytes, bool]]:
    """Passwords to try in turn, and whether it is the last word on the matter."""
    for flag in ("provisioner_password_file", "password_file"):
        if (given := passwords.from_file(options.get(flag), f"--{flag.replace('_', '-')}")) is not None:
            yield given, True
            return
    where = home_of(home)
    if (where / "ca.toml").exists() and os.access(where / "secrets/provisioner_password", os.R_OK):
        yield passwords.from_file(where / "secrets/provisioner_password", "the CA's home") or b"", False
    if (named := passwords.from_environment("DAYFLY_PASSWORD_FILE")) is not None:
        yield named, False
    yield passwords.ask(_QUESTION, flags=FLAGS), True


def _decrypt(jwe: str, candidates: Iterator[tuple[bytes, bool]]) -> bytes:
    for password, last in candidates:
        try:
            return decrypt_jwe(jwe, password=password)
        except JWEError as error:
            if last or "password" not in str(error):
                raise UsageError(f"the provisioner's key cannot be opened: {error}", hint=FLAGS) from None
    raise UsageError("no password opens the provisioner's key", hint=f"add {FLAGS}")


def _parse_jwk(text: bytes) -> PrivateKey:
    try:
        return parse_private_jwk(text)
    except PrivateJWKError as error:
        raise ClientError(f"the provisioner's key cannot be used: {error}") from None


def load_signing_key(path: Path, *, options: Mapping[str, Any]) -> PrivateKey:
    """A provisioner's private key in a file: PEM, a JWK, or a JWE of one; UsageError, ConfigError."""
    try:
        content = read_file(path)
    except OSError as error:
        raise UsageError(f"the key file {path} cannot be read: {error.strerror}", hint="name another: --key") from None
    text = content.strip()
    if text.startswith(b"-----BEGIN"):
        return _parse_pem_key(path, text, options)
    if text.startswith(b"{"):
        return _parse_jwk(text)
    return _parse_jwk(_decrypt(text.decode("ascii", "replace"), _candidates(None, options)))


def _parse_pem_key(path: Path, text: bytes, options: Mapping[str, Any]) -> PrivateKey:
    password = next(_candidates(None, options))[0] if b"ENCRYPTED" in text else None
    try:
        key = load_pem_private_key(text, password)
        thumbprint_of(key.public_key())
    except (ValueError, TypeError, UnsupportedAlgorithm, Refused):
        raise UsageError(f"{path} cannot be opened: the password is wrong, or it is no key that signs tokens") from None
    return key  # type: ignore[return-value]  # the thumbprint is of these kinds alone


# --- the token --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TokenFor:
    """What a token shall be good for; `sans` None stands for a revocation, whose subject is a serial."""

    endpoint: Endpoint
    subject: str
    sans: tuple[str, ...] | None
    csr: bytes | None = None
    cnf: bytes | None = None
    user: Mapping[str, object] = field(default_factory=dict)


def mint(
    signer: Signer,
    target: Target,
    wanted: TokenFor,
    *,
    now: datetime,
    begin: datetime | None = None,
    end: datetime | None = None,
) -> str:
    """A token that is good once, from now for five minutes unless it is said otherwise; UsageError."""
    start = begin or now
    claims = TokenClaims(
        issuer=signer.name,
        subject=wanted.subject,
        audience=audience(target.url, wanted.endpoint),
        jti=make_jti(secrets.token_bytes(JTI_OCTETS)),
        not_before=start,
        expires=end or start + USUAL,
        sans=wanted.sans,
        root=target.fingerprint(),
        csr_digest=hashlib.sha256(wanted.csr).digest() if wanted.csr is not None else wanted.cnf,
        user=wanted.user,
    )
    try:
        return sign_token(claims, key=signer.key, kid=signer.kid, now=now)
    except ValueError as error:
        raise UsageError(str(error), hint="a token is for the next minutes: leave --not-after out") from None
