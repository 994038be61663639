"""A host that uses a CA: the root it trusts, whether the CA answers, and its agent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from dayfly.core.doctor.catalogue import Level
from dayfly.core.doctor.findings import Finding, Group, passed, settle, wrong

SILENT = timedelta(minutes=15)  # as the alert on a loop that hangs (observability.md 5)


@dataclass(frozen=True, slots=True)
class ClientFacts:
    """The root and the CA as seen from here; each trouble is empty where there is none."""

    root_trouble: str = ""
    ca_trouble: str = ""
    ca_hint: str = ""
    ca_url: str = ""


@dataclass(frozen=True, slots=True)
class CertificateFact:
    """A certificate of the agent: `left` is the share of life that is left, 0 where there is no certificate."""

    name: str
    state: str
    reason: str
    left: float


@dataclass(frozen=True, slots=True)
class AgentFacts:
    """The agent: `trouble` says why agent.toml cannot be used; `heard` is when the agent last wrote its status.

    `flags` are those by which a command finds this agent's home and configuration, "" where it needs none.
    """

    trouble: str = ""
    hint: str = ""
    heard: datetime | None = None
    certificates: tuple[CertificateFact, ...] = ()
    flags: str = ""


def judge_client(facts: ClientFacts) -> tuple[Finding, ...]:
    """The root, then the CA that is trusted by it."""
    if facts.root_trouble:
        step = "dayfly ca bootstrap --ca-url URL --fingerprint SHA256 --force"
        return (wrong("DF4301", Group.CLIENT, facts.root_trouble, next_step=step),)
    root = passed("DF4301", Group.CLIENT, "root as promised")
    if facts.ca_trouble:
        step = facts.ca_hint or f"dayfly ca health --ca-url {facts.ca_url}"
        return (root, wrong("DF4302", Group.CLIENT, facts.ca_trouble, next_step=step))
    return (root, passed("DF4302", Group.CLIENT, f"{facts.ca_url} answers"))


def judge_agent(facts: AgentFacts, *, now: datetime) -> tuple[Finding, ...]:
    """The agent's configuration, its loop, its certificates."""
    if facts.trouble:
        step = facts.hint or "correct agent.toml"
        return (wrong("DF4303", Group.AGENT, f"agent.toml: {facts.trouble}", next_step=step),)
    found = [one for certificate in facts.certificates for one in _certificate(certificate, facts.flags)]
    served = passed("DF4305", Group.AGENT, f"{len(facts.certificates)} certificates are fresh")
    return (_loop(facts, now=now), *settle(found, otherwise=served))


def _loop(facts: AgentFacts, *, now: datetime) -> Finding:
    if facts.heard is not None and now - facts.heard <= SILENT:
        return passed("DF4304", Group.AGENT, f"agent heard {max(0, int((now - facts.heard).total_seconds()))} s ago")
    last = f"was last heard at {facts.heard:%Y-%m-%d %H:%M:%S} UTC" if facts.heard else "has never run here"
    return wrong("DF4304", Group.AGENT, f"the agent {last}", next_step=f"dayfly agent run{facts.flags}")


def _certificate(fact: CertificateFact, flags: str) -> Iterator[Finding]:
    if fact.left < 0.2:
        words = f"has {fact.left:.0%} of its life left" if fact.left > 0 else "is not there, or has expired"
        step = f"dayfly agent run --once{flags}"
        yield wrong("DF4305", Group.AGENT, f"certificate {fact.name} {words}", next_step=step)
    if fact.state in {"stuck", "degraded"}:
        level = Level.PROBLEM if fact.state == "stuck" else Level.WARNING
        says = f"certificate {fact.name} is {fact.state}: {fact.reason or 'no reason was written'}"
        yield wrong("DF4306", Group.AGENT, says, next_step=f"dayfly agent status{flags}", level=level)
