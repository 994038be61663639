"""`dayfly doctor`: which kind of home it is, the facts of it, and the judgement on them.

Rules: looking changes nothing; a check that could not look says so; each kind loads only what it needs, so that a host
with the base install alone is examined too.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from dayfly.core.doctor.catalogue import Level
from dayfly.core.doctor.findings import Finding
from dayfly.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Request:
    """What to examine: `agent_config` where it is not agent.toml of the home, `password` to open keys with.

    `password_file` is where the password came from, to be looked at too.
    """

    home: Path
    now: datetime
    agent_config: Path | None = None
    password: bytes | None = None
    password_file: Path | None = None
    deep: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """The findings on a home, passed checks included."""

    kind: str
    findings: tuple[Finding, ...]

    def count(self, level: Level) -> int:
        """How many findings are of this level."""
        return sum(one.level is level for one in self.findings)


def examine(request: Request) -> Report:
    """Look at a home and its host; ConfigError where there is no home, or it is another user's."""
    _check_owner(request.home)
    kind = kind_of(request.home, request.agent_config)
    if kind == "ca":
        from dayfly.wiring.doctor.ca import examine_ca  # noqa: PLC0415 - a client's host has no database driver

        return Report(kind, examine_ca(request))
    from dayfly.wiring.doctor.client import examine_agent, examine_client  # noqa: PLC0415 - the CA's has no agent

    return Report(kind, (examine_agent if kind == "agent" else examine_client)(request))


def _check_owner(home: Path) -> None:
    """Raise ConfigError where this user is neither the owner nor root: half of what is there could not be seen."""
    try:
        owner = home.stat().st_uid
    except OSError as error:
        raise ConfigError(
            "", f"{home} cannot be looked into: {error.strerror}", hint="name another home: --home DIR"
        ) from None
    if os.geteuid() not in {0, owner}:
        raise ConfigError("", f"{home} belongs to user {owner}", hint="run this as that user, or as root")


def kind_of(home: Path, agent_config: Path | None) -> str:
    """`ca`, `agent` or `client`; ConfigError where the directory is none of them."""
    if any((home / name).exists() for name in ("ca.toml", "ca.toml.pending")):
        return "ca"
    if agent_config is not None or any((home / name).exists() for name in ("agent.toml", "journal", "status.json")):
        return "agent"
    if (home / "config" / "defaults.json").exists():
        return "client"
    raise ConfigError(
        "", f"{home} is no home of a CA, an agent or a client", hint="name one: --home DIR; or make one: dayfly ca init"
    )
