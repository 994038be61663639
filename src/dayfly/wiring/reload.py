"""SIGHUP: ca.toml is read again (reliability.md 7).

Rules: all or nothing: a file that cannot be taken leaves everything as it was, and the log says why; what can change
while the server runs changes, the rest is named as waiting for a restart.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, fields

from dayfly.adapters.validators.caa import CaaClimber
from dayfly.authority.context import Authority
from dayfly.authority.renewals_told import RenewalInfos
from dayfly.config.reading import parse_config, read_config
from dayfly.config.values import Config
from dayfly.core.frozen import replace
from dayfly.errors import ConfigError
from dayfly.systemd import notify, notify_reloading
from dayfly.wiring.configured import caps_of, resolver_of, validators_of
from dayfly.wiring.place import ALONE, Place

_LOG = logging.getLogger("dayfly.server")

LIVE = frozenset({"validation", "limits_enabled", "limit_figures", "explanation_url"})
"""The fields of `Config` that a running server takes up."""
KEYS = {
    "issuer_certificate": "issuer.certificate",
    "issuer_key": "issuer.key",
    "issuer_alternates": "issuer.alternates",
    "log_key": "log.key",
    "metrics": "metrics.address",
    "limits_enabled": "limits.enabled",
    "limit_figures": "limits",
    "explanation_url": "renewal_info.explanation_url",
}
"""Where a field's key in the file has another name."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a file asks for: the configuration to run with from now on, and the keys that changed."""

    text: bytes
    config: Config
    applied: tuple[str, ...]
    waiting: tuple[str, ...]


def plan_change(current: Config, text: bytes) -> Change:
    """Take over what can change while the server runs; name the rest. ConfigError."""
    wanted = parse_config(text, home=current.home)
    differing = [one.name for one in fields(Config) if getattr(current, one.name) != getattr(wanted, one.name)]
    live = {name: getattr(wanted, name) for name in differing if name in LIVE}
    applied = tuple(sorted(KEYS.get(name, name) for name in live))
    waiting = tuple(sorted(KEYS.get(name, name) for name in differing if name not in LIVE))
    return Change(text, replace(current, **live), applied, waiting)


def read_again(current: Config) -> Change | None:
    """What the file asks for by now, told to the log; None for a file that cannot be taken."""
    try:
        change = plan_change(current, read_config(current.home))
    except ConfigError as error:
        detail = {"detail": error.message, "next": error.hint or "mend ca.toml, then reload again"}
        _LOG.error("ca.toml was not taken; the configuration stays as it was", extra=detail)
        return None
    _LOG.info("ca.toml was read again", extra={"changed": ", ".join(change.applied) or "nothing"})
    if change.waiting:
        needs = {"keys": ", ".join(change.waiting), "next": "restart the CA"}
        _LOG.warning("changed in ca.toml, and needs a restart", extra=needs)
    return change


def apply_change(authority: Authority, config: Config, place: Place = ALONE) -> None:
    """Validate under these settings from the next try on, count under these limits, name this page."""
    authority.validators = validators_of(config)
    authority.caa = CaaClimber(resolver_of(config))
    authority.caps = caps_of(config, place)
    limits = authority.limits
    if (config.limits_enabled, config.limit_figures) != (limits.enabled, limits.figures):
        authority.limits = limits.switched(enabled=config.limits_enabled, figures=config.limit_figures)
    if config.explanation_url != authority.explanation_url:
        authority.explanation_url, authority.renewal_infos = config.explanation_url, RenewalInfos()


@dataclass(slots=True)
class Reloading:
    """The reload of a process that is alone; call it when SIGHUP has come."""

    authority: Authority
    config: Config

    def __call__(self) -> None:
        """Read the file, take up what can be, and tell systemd when that has begun and when it is over."""
        notify_reloading()
        change = read_again(self.config)
        if change is not None:
            self.config = change.config
            apply_change(self.authority, change.config)
        notify("READY=1")
