"""What `ca init` says at its end: the report of interfaces.md 6, and the same in step's lines."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from dayfly.adapters.hierarchies import Hierarchy
from dayfly.cli.ca_init.asking import NewRoot, Request
from dayfly.cli.output import say, tick
from dayfly.config.values import Config
from dayfly.core.policy.lifetimes import parse_duration, render_duration, short_duration
from dayfly.core.policy.rules import Rule

_LABELS = (
    ("root", "Root certificate"),
    ("root_key", "Root private key"),
    ("fingerprint", "Root fingerprint"),
    ("intermediate", "Intermediate certificate"),
    ("intermediate_key", "Intermediate private key"),
    ("csr", "Certificate request"),
    ("database", "Database folder"),
    ("defaults", "Default configuration"),
    ("config", "Certificate Authority configuration"),
)


def report(
    request: Request,
    config: Config,
    hierarchy: Hierarchy | None,
    *,
    kid: str,
    rules: tuple[Rule, ...],
    csr: Path | None,
) -> dict[str, Any]:
    """The shape that interfaces.md 6 fixes; with --csr-out what is not there yet is null, and `csr` names the file."""
    document: dict[str, Any] = {
        "home": str(request.home),
        "ca_url": request.ca_url or config.base_urls[0],
        **_of_hierarchy(hierarchy),
        "provisioner": {"name": request.provisioner, "kid": kid},
        "rules": [
            {"id": rule.id, "kind": str(rule.kind), "pattern": rule.pattern, "owner": rule.owner} for rule in rules
        ],
        "next": _next_steps(request, hierarchy, rules, csr),
    }
    if request.survive is not None:
        document["survive"] = {
            "outage": render_duration(request.survive.outage),
            "lifetime": render_duration(request.survive.lifetime),
        }
    return document if csr is None else {**document, "csr": str(csr)}


def report_completed(home: Path, url: str, hierarchy: Hierarchy) -> dict[str, Any]:
    """What --chain-in made of a waiting home."""
    steps = [f"dayfly ca start --home {home} --password-file FILE"]
    return {"home": str(home), "ca_url": url, **_of_hierarchy(hierarchy), "next": steps}


def report_pki(request: Request, hierarchy: Hierarchy) -> dict[str, Any]:
    """What --pki made."""
    steps = _about_root_key(request, hierarchy)
    return {"home": str(request.home), **_of_hierarchy(hierarchy), "next": steps}


def _of_hierarchy(hierarchy: Hierarchy | None) -> dict[str, str | None]:
    if hierarchy is None:
        return {"fingerprint": None, "root": None, "root_key": None, "intermediate": None}
    return {
        "fingerprint": hashlib.sha256(hierarchy.root_der).hexdigest(),
        "root": str(hierarchy.root),
        "root_key": None if hierarchy.root_key is None else str(hierarchy.root_key),
        "intermediate": str(hierarchy.intermediate),
    }


def _next_steps(request: Request, hierarchy: Hierarchy | None, rules: tuple[Rule, ...], csr: Path | None) -> list[str]:
    home = request.home
    steps = [] if hierarchy is None else _about_root_key(request, hierarchy)
    if csr is not None:
        steps += [
            f"have the root sign {csr} as an intermediate CA (CA:TRUE, path length 0, its extensions as requested)",
            f"dayfly ca init --home {home} --chain-in CHAIN --root ROOT",
        ]
    if not rules:
        steps.append("no name is allowed yet: found a CA with --allow-dns DOMAIN or --allow-ip NETWORK")
    lifetime = "" if request.survive is None else f" --x509-default-dur {render_duration(request.survive.lifetime)}"
    return [
        *steps,
        f"dayfly ca provisioner add internal-acme --type ACME{lifetime} --home {home}",
        f"dayfly ca start --home {home} --password-file FILE",
    ]


def _about_root_key(request: Request, hierarchy: Hierarchy) -> list[str]:
    if isinstance(request.origin, NewRoot):
        return [f"move {hierarchy.root_key} off this machine: the running CA never needs it"]
    return []


def tell(document: dict[str, Any]) -> None:
    """The report in step's lines."""
    home = Path(document["home"])
    places = {"intermediate_key": home / "secrets/intermediate_ca_key"}
    if "rules" in document:
        places |= {"database": home / "db", "defaults": home / "config/defaults.json", "config": home / "ca.toml"}
    if document.get("csr"):
        del places["defaults"], places["config"]
    for key, label in _LABELS:
        value = document.get(key) or places.get(key)
        if value:
            tick(label, str(value))
    if "survive" in document:
        tick("Lifetime", _survival(document["survive"]))
    for rule in document.get("rules", ()):
        tick("Name rule", f"{rule['pattern']}  (rule {rule['id']}, owner {rule['owner']})")
    say(f"\n{_conclusion(document)} Next:" if document["next"] else f"\n{_conclusion(document)}")
    for step in document["next"]:
        say(f"  {step}")


def _survival(chosen: dict[str, str]) -> str:
    outage, lifetime = (parse_duration(chosen[one]) for one in ("outage", "lifetime"))
    return (
        f"{short_duration(lifetime)} by default, so that an outage of {short_duration(outage)} is survived: renewal is "
        f"through at 2/3 of life, and the third that is left is {short_duration(lifetime / 3)}"
    )


def _conclusion(document: dict[str, Any]) -> str:
    if document.get("csr"):
        return "Your CA waits for its issuing certificate."
    return "Your CA is ready to go." if "ca_url" in document else "Your PKI is ready to go."
