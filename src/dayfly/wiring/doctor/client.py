"""A client's home and an agent's: the root, the CA behind it, the agent's own word, as far as they go."""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path
from shlex import quote

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from dayfly.adapters.inspection.files import inspect_paths
from dayfly.adapters.inspection.host import inspect_host
from dayfly.agent.wiring import read_settings, read_status
from dayfly.client.step import fetch_health
from dayfly.client.transport import Transport, parse_url, trusting
from dayfly.core.doctor.client import AgentFacts, CertificateFact, ClientFacts, judge_agent, judge_client
from dayfly.core.doctor.files import judge_modes
from dayfly.core.doctor.findings import Finding
from dayfly.core.doctor.host import judge_host
from dayfly.errors import ClientError, DayflyError
from dayfly.home import resolve_home
from dayfly.wiring.doctor import Request

TIMEOUT = 5.0  # seconds


class _Defaults(msgspec.Struct, rename={"ca_url": "ca-url"}):
    ca_url: str = ""
    fingerprint: str = ""
    root: str = ""


def examine_client(request: Request) -> tuple[Finding, ...]:
    """A home that `ca bootstrap` made."""
    try:
        path = request.home / "config" / "defaults.json"
        defaults = msgspec.json.decode(path.read_bytes(), type=_Defaults)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        client = ClientFacts(root_trouble="config/defaults.json cannot be read")
    else:
        root = Path(defaults.root or request.home / "certs" / "root_ca.crt")
        trouble = _root_trouble(root, fingerprint=defaults.fingerprint, now=request.now)
        client = ClientFacts(trouble) if trouble else _ask(defaults.ca_url, root)
    return (*_host(request), *judge_client(client))


def examine_agent(request: Request) -> tuple[Finding, ...]:
    """An agent's home."""
    try:
        settings = read_settings(request.home, request.agent_config)
        status, _ = read_status(request.home, request.agent_config)
    except DayflyError as error:
        return (*_host(request), *judge_agent(AgentFacts(error.message, error.hint), now=request.now))
    trouble = _root_trouble(settings.ca.root, fingerprint="", now=request.now)
    client = ClientFacts(trouble) if trouble else _ask(settings.ca.directory, settings.ca.root)
    certificates = tuple(
        CertificateFact(
            name=one.progress.certificate,
            state=one.progress.state.value,
            reason=one.progress.reason,
            left=1 - one.used(request.now),
        )
        for one in status.certificates
    )
    agent = AgentFacts(heard=status.at if status.pid else None, certificates=certificates, flags=_flags(request))
    return (*_host(request), *judge_client(client), *judge_agent(agent, now=request.now))


def _flags(request: Request) -> str:
    """What names this home and configuration, where they are not those of a command without flags."""
    home = "" if request.home == resolve_home(None, {}, Path.home()) else f" --home {quote(str(request.home))}"
    return home + (f" --config {quote(str(request.agent_config))}" if request.agent_config else "")


def _host(request: Request) -> tuple[Finding, ...]:
    """The host, less what matters for a CA alone: others may well listen beside a client."""
    facts = inspect_host(request.home, now=request.now, ours=frozenset())
    found = [one for one in judge_host(facts) if one.code != "DF4106"]
    return (*found, *judge_modes(inspect_paths(request.home)))


def _root_trouble(path: Path, *, fingerprint: str, now: datetime) -> str:
    """What is wrong with the root that is trusted here; empty if nothing is."""
    try:
        root = x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        return f"the root {path} cannot be read: {error.strerror}"
    except ValueError:
        return f"the root {path} is not a PEM certificate"
    if fingerprint and hashlib.sha256(root.public_bytes(Encoding.DER)).hexdigest() != fingerprint:
        return f"the root {path} is not the one whose fingerprint stands in config/defaults.json"
    return f"the root {path} has expired" if now > root.not_valid_after_utc else ""


def _ask(url: str, root: Path) -> ClientFacts:
    try:
        origin, _ = parse_url(url)
        base = f"https://{origin}"
        with Transport(base, trusting(root), timeout=TIMEOUT) as transport:
            fetch_health(transport, base)
    except ClientError as error:
        return ClientFacts(ca_trouble=error.message, ca_hint=error.hint, ca_url=url)
    return ClientFacts(ca_url=base)
