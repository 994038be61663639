"""`dayfly ca init`: a new CA in a new home, with its first provisioner and its first name rules.

Rules: nothing is overwritten; no secret in argv; prompts on a terminal only, and off it a missing value is an error
that names the flag; what to do next stands at the end.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import msgspec

from dayfly.adapters.founding import (
    Foundation,
    Hierarchy,
    Passwords,
    ProvisionerKey,
    make_hierarchy,
    make_log_key,
    make_provisioner_key,
    render_ca_toml,
)
from dayfly.adapters.keyfiles import read_password
from dayfly.adapters.system import SystemClock
from dayfly.cli.output import emit, home_option, say, tick
from dayfly.config import Config, parse_config
from dayfly.core.policy.names import Rule, first_rules
from dayfly.core.settings.documents import Owner, Provisioner, ProvisionerType
from dayfly.errors import UsageError
from dayfly.home import resolve_home
from dayfly.wiring.commands import found_database, is_public_suffix


@dataclass(frozen=True, slots=True)
class Request:
    """All that `ca init` was asked for, prompts answered."""

    home: Path
    name: str
    dns_names: tuple[str, ...]
    address: str
    provisioner: str
    passwords: Passwords
    root_key_out: Path | None
    allow_dns: tuple[str, ...]
    allow_ip: tuple[str, ...]
    acme: bool


@click.command()
@home_option
@click.option("--name", help="Name of the CA, as it stands in its certificates.")
@click.option("--dns", multiple=True, help="DNS name or IP address of the CA; repeat for more, the first is canonical.")
@click.option("--address", help="Where to listen, as :9000 or 127.0.0.1:9000.")
@click.option("--provisioner", help="Name of the first provisioner (JWK); it owns the first name rules.")
@click.option("--acme", is_flag=True, help="Add an ACME provisioner named `acme` too.")
@click.option("--deployment-type", type=click.Choice(["standalone"]), default="standalone", help="As step has it.")
@click.option("--password-file", type=click.Path(path_type=Path), help="Password for the CA's keys.")
@click.option("--root-password-file", type=click.Path(path_type=Path), help="Another password for the root key.")
@click.option("--provisioner-password-file", type=click.Path(path_type=Path), help="Password of the provisioner's key.")
@click.option("--no-password", is_flag=True, help="Leave the CA's keys unencrypted.")
@click.option("--root-key-out", type=click.Path(path_type=Path), help="Where to write the root key.")
@click.option("--allow-dns", multiple=True, help="Allow this domain and all names below it; repeat for more.")
@click.option("--allow-ip", multiple=True, help="Allow addresses of this network (CIDR); repeat for more.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def init(home: str | None, as_json: bool, deployment_type: str, **options: Any) -> None:  # noqa: ANN401 - click's bag
    """Make a new certificate authority."""
    del deployment_type
    request = _ask(resolve_home(home, os.environ, Path.home()), options)
    report = _found(request, loud=not as_json)
    if as_json:
        emit(report)
    else:
        _tell(report, request)


def _ask(home: Path, options: dict[str, Any]) -> Request:
    """Flags, or answers at a terminal; UsageError names the flag that is missing off a terminal."""
    name = options["name"] or _prompt("--name", "What is the name of the CA?")
    dns = options["dns"] or tuple(_prompt("--dns", "Which DNS names or IP addresses has it?").replace(",", " ").split())
    address = options["address"] or _prompt("--address", "Where shall it listen?", default=":9000")
    provisioner = options["provisioner"] or _prompt("--provisioner", "What is the first provisioner called?")
    return Request(
        home=home,
        name=name,
        dns_names=dns,
        address=address,
        provisioner=provisioner,
        passwords=_passwords(options),
        root_key_out=options["root_key_out"],
        allow_dns=options["allow_dns"],
        allow_ip=options["allow_ip"],
        acme=options["acme"],
    )


def _prompt(flag: str, question: str, *, default: str | None = None) -> str:
    if not sys.stdin.isatty():
        if default is not None:
            return default
        raise UsageError(f"{flag} is missing, and there is no terminal to ask at", hint=f"add {flag}")
    answer: str = click.prompt(question, default=default, err=True)
    return answer


def _passwords(options: dict[str, Any]) -> Passwords:
    """The passwords from files, the environment's file, or a prompt (twice); the provisioner's may be left to us."""
    provisioner = _from_file(options["provisioner_password_file"], "--provisioner-password-file")
    if options["no_password"]:
        return Passwords(issuer=None, root=None, provisioner=provisioner)
    base = _from_file(options["password_file"], "--password-file")
    if base is None and (named := os.environ.get("DAYFLY_PASSWORD_FILE")):
        base = read_password(Path(named), flag="DAYFLY_PASSWORD_FILE")
    if base is None:
        base = _prompt_password()
    root = _from_file(options["root_password_file"], "--root-password-file")
    return Passwords(issuer=base, root=root or base, provisioner=provisioner)


def _from_file(path: Path | None, flag: str) -> bytes | None:
    return None if path is None else read_password(path, flag=flag)


def _prompt_password() -> bytes:
    if not sys.stdin.isatty():
        raise UsageError(
            "the CA's keys need a password, and there is no terminal to ask at",
            hint="name a file: --password-file FILE or DAYFLY_PASSWORD_FILE=FILE; for none at all: --no-password",
        )
    answer: str = click.prompt("Password for the CA's keys", hide_input=True, confirmation_prompt=True, err=True)
    return answer.encode()


def _found(request: Request, *, loud: bool) -> dict[str, Any]:
    """1. Everything is checked before anything is made. 2. Keys and certificates. 3. The database. 4. ca.toml, last."""
    text = render_ca_toml(name=request.name, address=request.address, dns_names=request.dns_names)
    config = parse_config(text, home=request.home)
    rules = first_rules(
        tuple(one.value for one in config.dns_names),
        allow_dns=request.allow_dns,
        allow_ip=request.allow_ip,
        owner=request.provisioner,
        is_public_suffix=is_public_suffix(),
    )
    clock = SystemClock()
    with Foundation(request.home) as foundation:
        _progress("Generating root certificate... ", loud=loud)
        hierarchy = make_hierarchy(
            foundation,
            name=request.name,
            passwords=request.passwords,
            root_key_out=request.root_key_out,
            now=clock.now(),
        )
        _progress("done!\nGenerating intermediate certificate... done!\n", loud=loud)
        origin = config.base_urls[0].removeprefix("https://")
        make_log_key(foundation, origin=origin, password=request.passwords.issuer)
        key = make_provisioner_key(foundation, password=request.passwords.provisioner)
        for name in ("dayfly.db", "dayfly.db-wal", "dayfly.db-shm"):
            foundation.watch(request.home / "db" / name)
        asyncio.run(found_database(config, documents=_documents(request, key, rules), origin=origin))
        fingerprint = hashlib.sha256(hierarchy.root_der).hexdigest()
        foundation.file(request.home / "config/defaults.json", _defaults(config, fingerprint), mode=0o644)
        foundation.file(request.home / "ca.toml", text)
        foundation.keep()
    return _report(config, hierarchy, fingerprint, key, request, rules)


def _documents(
    request: Request, key: ProvisionerKey, rules: tuple[Rule, ...]
) -> tuple[Owner | Provisioner | Rule, ...]:
    first = Provisioner(
        name=request.provisioner,
        type=ProvisionerType.JWK,
        key=key.jwk,
        kid=key.kid,
        encrypted_key=key.encrypted,
    )
    acme = (Provisioner(name="acme", type=ProvisionerType.ACME),) if request.acme else ()
    return (Owner(request.provisioner), first, *acme, *rules)


def _defaults(config: Config, fingerprint: str) -> bytes:
    """What clients need: step's names for the keys."""
    document = {"ca-url": config.base_urls[0], "fingerprint": fingerprint, "root": str(config.root)}
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def _report(
    config: Config,
    hierarchy: Hierarchy,
    fingerprint: str,
    key: ProvisionerKey,
    request: Request,
    rules: tuple[Rule, ...],
) -> dict[str, Any]:
    """The shape that interfaces.md 6 fixes."""
    home = request.home
    return {
        "home": str(home),
        "ca_url": config.base_urls[0],
        "fingerprint": fingerprint,
        "root": str(hierarchy.root),
        "root_key": str(hierarchy.root_key),
        "intermediate": str(hierarchy.intermediate),
        "provisioner": {"name": request.provisioner, "kid": key.kid},
        "rules": [
            {"id": rule.id, "kind": str(rule.kind), "pattern": rule.pattern, "owner": rule.owner} for rule in rules
        ],
        "next": _next_steps(home, hierarchy.root_key, rules),
    }


def _next_steps(home: Path, root_key: Path, rules: tuple[Rule, ...]) -> list[str]:
    steps = [f"move {root_key} off this machine: the running CA never needs it"]
    if not rules:
        steps.append("no name is allowed yet: found a CA with --allow-dns DOMAIN or --allow-ip NETWORK")
    return [
        *steps,
        f"dayfly ca provisioner add internal-acme --type ACME --home {home}",
        f"dayfly ca start --home {home} --password-file FILE",
    ]


def _tell(report: dict[str, Any], request: Request) -> None:
    tick("Root certificate", report["root"])
    tick("Root private key", report["root_key"])
    tick("Root fingerprint", report["fingerprint"])
    tick("Intermediate certificate", report["intermediate"])
    tick("Intermediate private key", str(request.home / "secrets/intermediate_ca_key"))
    tick("Database folder", str(request.home / "db"))
    tick("Default configuration", str(request.home / "config/defaults.json"))
    tick("Certificate Authority configuration", str(request.home / "ca.toml"))
    for rule in report["rules"]:
        tick("Name rule", f"{rule['pattern']}  (rule {rule['id']}, owner {rule['owner']})")
    say("\nYour CA is ready to go. Next:")
    for step in report["next"]:
        say(f"  {step}")


def _progress(text: str, *, loud: bool) -> None:
    if loud:
        click.echo(text, err=True, nl=False)
