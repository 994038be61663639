"""A CA's home: its facts, from files, host, database, ports and server, judged.

1. The host.  2. ca.toml; without it modes alone.  3. Files and keys.  4. Ports, certificates, lab settings.
5. The database, with its log.  6. The server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import fields
from datetime import datetime
from pathlib import Path

from cryptography import x509

from dayfly.adapters.inspection.database import inspect_database
from dayfly.adapters.inspection.files import CAFiles, inspect_ca_files, inspect_password_file, inspect_paths
from dayfly.adapters.inspection.host import (
    family_of,
    inspect_host,
    inspect_process,
    listening_sockets,
    may_bind,
    server_process,
)
from dayfly.adapters.inspection.server import ask_health, ask_ready
from dayfly.config.addresses import Address
from dayfly.config.reading import load_config
from dayfly.config.values import Config, ValidationConfig
from dayfly.core.doctor.ca import (
    AuthorityFacts,
    DatabaseFacts,
    IssuingKey,
    LabFacts,
    PortFact,
    PortState,
    ServerFacts,
    judge_authorities,
    judge_clients,
    judge_crls,
    judge_database,
    judge_lab,
    judge_ports,
    judge_server,
    unusable_config,
)
from dayfly.core.doctor.files import judge_files, judge_modes, judge_password_file
from dayfly.core.doctor.findings import Finding
from dayfly.core.doctor.host import judge_clock, judge_host, judge_process
from dayfly.core.frozen import replace
from dayfly.core.transparency.checkpoint import parse_verifier_key
from dayfly.core.x509.chain import ChainError, verify_for_any_use
from dayfly.errors import ConfigError, DayflyError
from dayfly.wiring.commands import verifier_key_of, verify_log_of
from dayfly.wiring.doctor import Request

LAB_FREE = frozenset({"resolver"})  # a key of [validation] that a CA for others may well set


def examine_ca(request: Request) -> tuple[Finding, ...]:
    """Everything that is to be said of a CA's home."""
    pid = server_process(request.home)
    ours = family_of(pid) if pid else frozenset()
    host = judge_host(inspect_host(request.home, now=request.now, ours=ours))
    try:
        config = load_config(request.home)
    except ConfigError as error:
        return (*host, *judge_modes(inspect_paths(request.home)), unusable_config(error.message, error.hint))
    authorities = _authorities(config, now=request.now)
    database = _database(config, deep=request.deep, now=request.now)
    root_since = authorities.root[0] if authorities else None
    return (
        *host,
        *judge_clock(request.now, newest=database.newest if database else None, root_since=root_since),
        *(judge_process(inspect_process(pid)) if pid else ()),
        *judge_files(inspect_ca_files(_files(config), password=request.password)),
        *(judge_password_file(inspect_password_file(request.password_file)) if request.password_file else ()),
        *judge_ports(tuple(_ports(config, ours=ours))),
        *_judged(authorities, database, now=request.now),
        *judge_lab(_lab(config)),
        *(judge_database(database) if database else ()),
        *_crls_and_clients(config, database, authorities, now=request.now),
        *judge_server(_server(config, running=bool(pid))),
    )


def _crls_and_clients(
    config: Config, database: DatabaseFacts | None, authorities: AuthorityFacts | None, *, now: datetime
) -> tuple[Finding, ...]:
    """A database that cannot be read, or is of another schema, is a finding already."""
    if database is None or database.trouble or database.schema != database.known_schema:
        return ()
    signs = authorities.signs if authorities else None
    return *judge_crls(database, served=config.crl is not None, now=now, signs=signs), *judge_clients(database)


def _judged(
    authorities: AuthorityFacts | None, database: DatabaseFacts | None, *, now: datetime
) -> tuple[Finding, ...]:
    """The certificates, where they can be read; where they cannot, the missing file is a finding of its own."""
    longest = database.longest_leaf if database else None
    return judge_authorities(authorities, now=now, longest_leaf=longest) if authorities else ()


def _files(config: Config) -> CAFiles:
    return CAFiles(
        home=config.home,
        database=_database_file(config),
        keys=(("intermediate", _key_file(config, config.issuer_key)), ("log", _key_file(config, config.log_key))),
        certificates=(config.issuer_certificate, config.root, config.root.parent / "log_key.pub"),
    )


def _key_file(config: Config, uri: str) -> Path:
    return config.home / uri.removeprefix("file:")


def _database_file(config: Config) -> Path | None:
    scheme, _, place = config.database.partition(":")
    return config.home / place if scheme == "sqlite" else None


def _lab(config: Config) -> LabFacts:
    plain = ValidationConfig()
    changed = [one.name for one in fields(plain) if getattr(config.validation, one.name) != getattr(plain, one.name)]
    return LabFacts(tuple(sorted(set(changed) - LAB_FREE)), config.limits_enabled)


# --- ports ------------------------------------------------------------------------------------------------------------


def _ports(config: Config, *, ours: frozenset[int]) -> Iterator[PortFact]:
    crl = None if config.crl is None else config.crl.address
    for key, address in (("address", config.address), ("metrics.address", config.metrics), ("crl.address", crl)):
        if address is not None:
            yield _port(key, address, ours=ours, owner=config.home.stat().st_uid)


def _port(key: str, address: Address, *, ours: frozenset[int], owner: int) -> PortFact:
    """Who listens where the CA would; a process that cannot be seen is ours if its user is, while a server runs."""
    here = [one for one in listening_sockets() if one.port == address.port and _meets(str(one.address), address.host)]
    if not here:
        state = PortState.FREE if may_bind(address.port) else PortState.FORBIDDEN
        return PortFact(key, address.host, address.port, state)
    strangers = [one for one in here if one.pid not in ours and not (ours and one.pid == 0 and one.uid == owner)]
    if not strangers:
        return PortFact(key, address.host, address.port, PortState.OURS)
    first = strangers[0]
    holder = f"{first.name} (process {first.pid})" if first.name else f"a process of user {first.uid}"
    return PortFact(key, address.host, address.port, PortState.TAKEN, holder)


def _meets(listening: str, wanted: str) -> bool:
    """Would a socket on `wanted` be in the way of one on `listening`?"""
    everywhere = {"", "0.0.0.0", "::"}  # noqa: S104 - compared, not bound
    return listening in everywhere or wanted in everywhere or listening == wanted.replace("localhost", "127.0.0.1")


# --- certificates, database, server -----------------------------------------------------------------------------------


def _authorities(config: Config, *, now: datetime) -> AuthorityFacts | None:
    try:
        (root, *_), (leaf, *more) = _load(config.root), _load(config.issuer_certificate)
    except (OSError, ValueError):
        return None
    # Within both lives, so that an expiry is told as one and not as a chain that is broken.
    moment = min(max(now, leaf.not_valid_before_utc, root.not_valid_before_utc), leaf.not_valid_after_utc)
    try:
        verify_for_any_use(leaf, more, (root,), now=moment)
        broken = ""
    except ChainError as error:
        broken = error.message
    return AuthorityFacts(_life(root), _life(leaf), broken, _issuing_key(leaf))


def _load(path: Path) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(path.read_bytes())


def _issuing_key(certificate: x509.Certificate) -> IssuingKey | None:
    """The two that its leaves name; None where it has no key identifier."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except (x509.ExtensionNotFound, ValueError):
        return None
    return IssuingKey(certificate.subject.public_bytes(), found.digest)


def _life(certificate: x509.Certificate) -> tuple[datetime, datetime]:
    return certificate.not_valid_before_utc, certificate.not_valid_after_utc


def _database(config: Config, *, deep: bool, now: datetime) -> DatabaseFacts | None:
    path = _database_file(config)
    if path is None or not path.exists():
        return None
    try:
        key = parse_verifier_key(verifier_key_of(config))
    except DayflyError:
        key = None  # the missing file is a finding of its own
    facts = inspect_database(path, key, now=now)
    if not deep or facts.trouble or facts.log or key is None or facts.schema != facts.known_schema:
        return facts
    report = asyncio.run(verify_log_of(config))
    what = "" if report.ok else f"{len(report.findings)} findings, the first: {report.findings[0].what}"
    return replace(facts, log=what, checked="all")


def _server(config: Config, *, running: bool) -> ServerFacts:
    if not running:
        return ServerFacts(running=False)
    health = ask_health(config.address, name=config.dns_names[0].value, root=config.root)
    failing, trouble = ask_ready(config.metrics) if config.metrics else ((), "")
    return ServerFacts(running=True, health=health, failing=failing, ready_trouble=trouble)
