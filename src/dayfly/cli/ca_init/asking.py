"""What `ca init` is asked for: flags, else answers at a terminal, else an error that names the flag."""

from __future__ import annotations

import os
import secrets
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from dayfly.adapters.founding import Passwords
from dayfly.adapters.keyfiles import is_encrypted, read_password
from dayfly.cli.output import tick
from dayfly.core.acme.chaos import MARK
from dayfly.core.jose.encoding import b64u_encode
from dayfly.core.policy.lifetimes import parse_duration
from dayfly.core.policy.survival import Survival, plan_survival
from dayfly.errors import UsageError

MADE_PASSWORD_OCTETS = 18  # 144 bits, 24 characters

# step's flags that mean something we do not have, and why.
REFUSED = {
    "no_db": "the log of everything issued lives in the database; a CA without one could not prove what it did",
    "ssh": "SSH certificates are not issued here",
    "helm": "there is no Helm chart to make values for",
    "remote_management": "provisioners and rules are managed on the CA's host: dayfly ca provisioner, dayfly ca policy",
    "admin_subject": "provisioners and rules are managed on the CA's host, so there is no administrator to name",
    "context": "one home is one CA; keep several apart with --home or DAYFLY_HOME",
}


@dataclass(frozen=True, slots=True)
class ExistingRoot:
    """A root that is there already, and its key to sign the intermediate with."""

    certificate: Path
    key: Path
    key_password: bytes | None


@dataclass(frozen=True, slots=True)
class ExistingIntermediate:
    """An issuing pair that is there already, and its root."""

    root: Path
    certificate: Path
    key: Path
    key_password: bytes | None


@dataclass(frozen=True, slots=True)
class NewRoot:
    """A root of our own; `key_out` is where its key goes, None for `offline/` in the home."""

    key_out: Path | None


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A root that lives elsewhere: the request goes to `csr_out`."""

    csr_out: Path


Origin = NewRoot | ExistingRoot | ExistingIntermediate | Elsewhere


@dataclass(frozen=True, slots=True)
class Request:
    """All that `ca init` was asked for, prompts answered."""

    home: Path
    name: str
    dns_names: tuple[str, ...]
    address: str
    provisioner: str
    passwords: Passwords
    origin: Origin
    allow_dns: tuple[str, ...]
    allow_ip: tuple[str, ...]
    constrain_names: bool
    acme: bool
    ca_url: str | None
    only_pki: bool
    survive: Survival | None = None


class _Questions:
    """Asks at a terminal, and remembers whether anything had to be asked."""

    def __init__(self) -> None:
        """Nothing was asked yet."""
        self.asked = False

    def text(self, value: str | None, flag: str, question: str, *, default: str | None = None) -> str:
        """The flag's value, else an answer, else the default; UsageError off a terminal."""
        if value:
            return value
        if not sys.stdin.isatty():
            if default is not None:
                return default
            raise UsageError(f"{flag} is missing, and there is no terminal to ask at", hint=f"add {flag}")
        self.asked = True
        answer: str = click.prompt(question, default=default, err=True)
        return answer

    def password(self) -> bytes:
        """The password of the CA's keys, typed twice, or made and shown; UsageError off a terminal."""
        if not sys.stdin.isatty():
            raise UsageError(
                "the CA's keys need a password, and there is no terminal to ask at",
                hint="name a file: --password-file FILE or DAYFLY_PASSWORD_FILE=FILE; for none at all: --no-password",
            )
        self.asked = True
        question = "Password for the CA's keys [leave empty and one is made]"
        answer: str = click.prompt(question, hide_input=True, default="", show_default=False, err=True)
        if not answer:
            return _made_password()
        again: str = click.prompt("Repeat the password", hide_input=True, default="", show_default=False, err=True)
        if again != answer:
            raise UsageError("the two passwords differ; nothing was made", hint="run the command again")
        return answer.encode()

    def constrain(self) -> bool:
        """Shall the intermediate be constrained? Asked only of somebody who is answering questions anyway."""
        return self.asked and click.confirm(
            "Constrain the issuing certificate to the names of the first rules?", default=False, err=True
        )


def _made_password() -> bytes:
    if not sys.stderr.isatty():
        raise UsageError("a password that is made would be written to a file here", hint="use --password-file FILE")
    made = b64u_encode(secrets.token_bytes(MADE_PASSWORD_OCTETS))
    tick("Password", f"{made}  (shown once: keep it)")
    return made.encode()


def check_refused_flags(options: dict[str, Any]) -> None:
    """Raise UsageError for flags of step that mean what we do not have."""
    for option, why in REFUSED.items():
        if options.pop(option):
            raise UsageError(f"--{option.replace('_', '-')}: {why}", hint="leave the flag out")


def check_chain_in_alone(options: dict[str, Any]) -> None:
    """Raise UsageError where --chain-in stands beside what was settled when the request was made."""
    given = [name for name, value in options.items() if value and name not in {"chain_in", "root"}]
    if given:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise UsageError(f"{flags}: settled already, when --csr-out made the request", hint="leave it out")


def ask(home: Path, options: dict[str, Any]) -> Request:
    """Flags, or answers at a terminal; UsageError names the flag that is missing off a terminal."""
    questions = _Questions()
    origin = _origin(options)
    only_pki = bool(options["pki"])
    mark = MARK if options["test_only"] else ""
    name = mark + questions.text(options["name"], "--name", "What is the name of the CA?").removeprefix(mark)
    dns: tuple[str, ...] = ("localhost",)
    address, provisioner = ":9000", "admin"
    if not only_pki:
        dns = _dns_names(options["dns"], questions)
        address = questions.text(options["address"], "--address", "Where shall it listen?", default=":9000")
        provisioner = questions.text(options["provisioner"], "--provisioner", "What is the first provisioner called?")
    return Request(
        home=home,
        name=name,
        dns_names=dns,
        address=address,
        provisioner=provisioner,
        passwords=_passwords(options, questions),
        origin=origin,
        allow_dns=options["allow_dns"],
        allow_ip=options["allow_ip"],
        constrain_names=options["constrain_names"] or (_can_constrain(origin) and questions.constrain()),
        acme=options["acme"],
        ca_url=options["with_ca_url"],
        only_pki=only_pki,
        survive=_survive(options["survive"], only_pki=only_pki),
    )


def _survive(text: str | None, *, only_pki: bool) -> Survival | None:
    if text is None:
        return None
    if only_pki:
        raise UsageError("--survive has no meaning beside --pki", hint="leave one of them out")
    try:
        return plan_survival(parse_duration(text))
    except ValueError as error:
        raise UsageError(f"--survive: {error}", hint="name the longest outage of the CA, as 8h") from None


def _dns_names(given: tuple[str, ...], questions: _Questions) -> tuple[str, ...]:
    """The names of --dns, commas apart; at a prompt spaces part them too."""
    if given:
        return tuple(name.strip() for one in given for name in one.split(",") if name.strip())
    return tuple(questions.text(None, "--dns", "Which DNS names or IP addresses has it?").replace(",", " ").split())


def _can_constrain(origin: Origin) -> bool:
    return not isinstance(origin, ExistingIntermediate)


def _origin(options: dict[str, Any]) -> Origin:
    """Which way to an issuing certificate; UsageError where the flags name two, or half of one."""
    root, key, intermediate, intermediate_key = (
        options[name] for name in ("root", "key", "intermediate", "intermediate_key")
    )
    if options["csr_out"] is not None:
        _need_none(options, ("root", "key", "intermediate", "intermediate_key", "root_key_out"), "--csr-out")
        return Elsewhere(options["csr_out"])
    if intermediate is not None or intermediate_key is not None:
        _need_none(options, ("key", "root_key_out", "constrain_names"), "--intermediate")
        if None in {root, intermediate, intermediate_key}:
            raise UsageError("an existing intermediate takes --root, --intermediate and --intermediate-key together")
        return ExistingIntermediate(root, intermediate, intermediate_key, _key_password(options, intermediate_key))
    if root is not None or key is not None:
        _need_none(options, ("root_key_out",), "--root")
        if root is None or key is None:
            raise UsageError(
                "an existing root takes --root and --key together", hint="where the key is elsewhere: --csr-out FILE"
            )
        return ExistingRoot(root, key, _key_password(options, key))
    return NewRoot(options["root_key_out"])


def _need_none(options: dict[str, Any], names: tuple[str, ...], beside: str) -> None:
    for name in names:
        if options[name]:
            raise UsageError(f"--{name.replace('_', '-')} has no meaning beside {beside}", hint="leave one of them out")


def _key_password(options: dict[str, Any], key: Path) -> bytes | None:
    """The password of an existing key, where it has one."""
    given = _from_file(options["key_password_file"], "--key-password-file")
    if given is not None or not is_encrypted(key):
        return given
    if not sys.stdin.isatty():
        raise UsageError(
            f"{key} is encrypted, and there is no terminal to ask for its password at", hint="add --key-password-file"
        )
    answer: str = click.prompt(f"Password of {key}", hide_input=True, err=True)
    return answer.encode()


def _passwords(options: dict[str, Any], questions: _Questions) -> Passwords:
    """The passwords from files, the environment's file, or a prompt; the provisioner's may be left to us."""
    provisioner = _from_file(options["provisioner_password_file"], "--provisioner-password-file")
    if options["no_password"]:
        return Passwords(issuer=None, root=None, provisioner=provisioner)
    base = _from_file(options["password_file"], "--password-file")
    if base is None and (named := os.environ.get("DAYFLY_PASSWORD_FILE")):
        base = read_password(Path(named), flag="DAYFLY_PASSWORD_FILE")
    if base is None:
        base = questions.password()
    root = _from_file(options["root_password_file"], "--root-password-file")
    return Passwords(issuer=base, root=root or base, provisioner=provisioner)


def _from_file(path: Path | None, flag: str) -> bytes | None:
    return None if path is None else read_password(path, flag=flag)
