"""What `ca init` does: everything is checked first, then keys and certificates, the database, and ca.toml at last.

With --csr-out the home waits: what would be ca.toml is ca.toml.pending, and `complete` turns it into a CA.
"""

from __future__ import annotations

import asyncio
import hashlib
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from dayfly.adapters.founding import (
    PENDING,
    Foundation,
    make_log_key,
    make_provisioner_key,
    render_ca_toml,
)
from dayfly.adapters.hierarchies import (
    Hierarchy,
    Names,
    existing_intermediate,
    existing_root,
    new_root,
    read_certificates,
    request_intermediate,
    split_root,
    take_chain,
)
from dayfly.adapters.keyfiles import read_file
from dayfly.adapters.system import SystemClock
from dayfly.cli.ca_init.asking import Elsewhere, ExistingIntermediate, ExistingRoot, Request
from dayfly.cli.ca_init.telling import report, report_completed, report_pki
from dayfly.client.transport import parse_url
from dayfly.config.reading import parse_config
from dayfly.config.values import Config
from dayfly.core.policy.first_rules import first_rules
from dayfly.core.policy.rules import Rule
from dayfly.core.settings.claims import Claims, make_claims
from dayfly.core.settings.owners import Owner
from dayfly.core.settings.provisioner_changes import Key
from dayfly.core.settings.provisioners import Provisioner, ProvisionerType
from dayfly.core.x509.constraints import plan_constraints
from dayfly.core.x509.pem import render_pem
from dayfly.errors import ConfigError, UsageError
from dayfly.wiring.commands import found_database, is_public_suffix

REQUEST = "config/intermediate.csr"


def found(request: Request, *, loud: bool) -> dict[str, Any]:
    """1. Everything is checked before anything is made. 2. Keys and certificates. 3. The database. 4. ca.toml, last."""
    text = render_ca_toml(name=request.name, address=request.address, dns_names=request.dns_names)
    config = parse_config(text, home=request.home)
    if request.ca_url is not None:
        parse_url(request.ca_url)
    rules = _rules(request, config)
    names = _names(request, config, rules)
    now = SystemClock().now()
    with Foundation(request.home) as foundation:
        hierarchy, csr = _certificates(foundation, request, names, now=now, loud=loud)
        origin = config.base_urls[0].removeprefix("https://")
        make_log_key(foundation, origin=origin, password=request.passwords.issuer)
        key = make_provisioner_key(foundation, password=request.passwords.provisioner)
        for name in ("dayfly.db", "dayfly.db-wal", "dayfly.db-shm"):
            foundation.watch(request.home / "db" / name)
        asyncio.run(found_database(config, documents=_documents(request, key, rules), origin=origin))
        url = request.ca_url or config.base_urls[0]
        if hierarchy is None:
            foundation.file(request.home / PENDING, text)
            foundation.file(request.home / "config/ca-url", f"{url}\n".encode(), mode=0o644)
        else:
            foundation.file(request.home / "config/defaults.json", _defaults(url, config, hierarchy), mode=0o644)
            foundation.file(request.home / "ca.toml", text)
        foundation.keep()
    return report(request, config, hierarchy, kid=key.kid, rules=rules, csr=csr)


def found_pki(request: Request, *, loud: bool) -> dict[str, Any]:
    """Certificates and keys, and nothing else."""
    if isinstance(request.origin, Elsewhere):
        raise UsageError("--pki makes certificates, and --csr-out waits for one", hint="leave one of them out")
    with Foundation(request.home) as foundation:
        names = Names(request.name, None)
        hierarchy, _ = _certificates(foundation, request, names, now=SystemClock().now(), loud=loud)
        foundation.keep()
    if hierarchy is None:  # only --csr-out makes none
        raise UsageError("no certificates were made")
    return report_pki(request, hierarchy)


def complete(home: Path, *, chain_in: Path, root: Path | None) -> dict[str, Any]:
    """A home that waits for its certificate becomes a CA: the chain is checked, then put in place."""
    if not (home / PENDING).is_file():
        raise ConfigError(
            "", f"no CA in {home} waits for a certificate", hint="make the request first: dayfly ca init --csr-out FILE"
        )
    text = read_file(home / PENDING)
    config = parse_config(text, home=home)
    chain, own_root = split_root(read_certificates(chain_in))
    if root is not None:
        (own_root,) = read_certificates(root, most=1)
    if own_root is None:
        raise UsageError(f"{chain_in} does not end with the root", hint="append it, or name it: --root FILE")
    url = (home / "config/ca-url").read_text("ascii").strip()
    with Foundation(home, reopen=True) as foundation:
        hierarchy = take_chain(
            foundation,
            request=read_file(home / REQUEST),
            chain=chain,
            root=own_root,
            now=SystemClock().now(),
        )
        foundation.file(home / "config/defaults.json", _defaults(url, config, hierarchy), mode=0o644)
        foundation.file(home / "ca.toml", text)
        foundation.keep()
    for name in (PENDING, "config/ca-url"):
        (home / name).unlink()
    return report_completed(home, url, hierarchy)


def _rules(request: Request, config: Config) -> tuple[Rule, ...]:
    return first_rules(
        tuple(one.value for one in config.dns_names),
        allow_dns=request.allow_dns,
        allow_ip=request.allow_ip,
        owner=request.provisioner,
        is_public_suffix=is_public_suffix(),
    )


def _names(request: Request, config: Config, rules: tuple[Rule, ...]) -> Names:
    return Names(request.name, plan_constraints(rules, config.dns_names) if request.constrain_names else None)


def _certificates(
    foundation: Foundation, request: Request, names: Names, *, now: datetime, loud: bool
) -> tuple[Hierarchy | None, Path | None]:
    """The hierarchy, or the file with the request for one."""
    password, origin = request.passwords.issuer, request.origin
    if isinstance(origin, Elsewhere):
        request_der = request_intermediate(foundation, names, password=password)
        foundation.file(request.home / REQUEST, request_der)
        pem = render_pem(request_der, "CERTIFICATE REQUEST").encode()
        return None, foundation.file(origin.csr_out, pem, mode=0o644)
    if isinstance(origin, ExistingIntermediate):
        return existing_intermediate(
            foundation,
            root=origin.root,
            certificate=origin.certificate,
            key_file=origin.key,
            key_password=origin.key_password,
            password=password,
            now=now,
        ), None
    if isinstance(origin, ExistingRoot):
        _progress("Generating intermediate certificate... ", loud=loud)
        made = existing_root(
            foundation,
            names,
            certificate=origin.certificate,
            key_file=origin.key,
            key_password=origin.key_password,
            password=password,
            now=now,
        )
        _progress("done!\n", loud=loud)
        return made, None
    _progress("Generating root certificate... ", loud=loud)
    made = new_root(
        foundation,
        names,
        password=password,
        root_password=request.passwords.root,
        root_key_out=origin.key_out,
        now=now,
    )
    _progress("done!\nGenerating intermediate certificate... done!\n", loud=loud)
    return made, None


def _documents(request: Request, key: Key, rules: tuple[Rule, ...]) -> tuple[Owner | Provisioner | Rule, ...]:
    claims = Claims() if request.survive is None else make_claims(default=request.survive.lifetime)
    first = Provisioner(
        name=request.provisioner,
        type=ProvisionerType.JWK,
        claims=claims,
        key=key.jwk,
        kid=key.kid,
        encrypted_key=key.encrypted,
    )
    acme = (Provisioner(name="acme", type=ProvisionerType.ACME, claims=claims),) if request.acme else ()
    return (Owner(request.provisioner), first, *acme, *rules)


def _defaults(url: str, config: Config, hierarchy: Hierarchy) -> bytes:
    """What clients need: step's names for the keys."""
    fingerprint = hashlib.sha256(hierarchy.root_der).hexdigest()
    document = {"ca-url": url, "fingerprint": fingerprint, "root": str(config.root)}
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def _progress(text: str, *, loud: bool) -> None:
    if loud:
        click.echo(text, err=True, nl=False)
