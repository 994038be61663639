"""`status` and `verify`: what stands on disk and on the wire, without a running agent; nothing is written."""

from __future__ import annotations

from datetime import datetime

from dayfly.agent.layout import Layout
from dayfly.agent.probing import Prober, TargetResult, look_until_mismatch
from dayfly.agent.settings import AgentSettings, CertificateSettings
from dayfly.agent.status import AgentStatus, CertificateStatus, load_status
from dayfly.core.frozen import replace


def look_now(layout: Layout, settings: AgentSettings, prober: Prober, *, now: datetime) -> tuple[AgentStatus, bool]:
    """The state with fresh looks at every target, and whether there is a pair and all targets serve it."""
    status = load_status(layout, settings, now=now)
    pairs = zip(settings.certificates, status.certificates, strict=True)
    entries = tuple(replace(entry, targets=_look(one, entry, prober, now)) for one, entry in pairs)
    verified = all(entry.meta and all(look.verified for look in entry.targets) for entry in entries)
    return replace(status, at=now, certificates=entries), verified


def _look(
    settings: CertificateSettings, entry: CertificateStatus, prober: Prober, now: datetime
) -> tuple[TargetResult, ...]:
    expected = entry.meta.fingerprint if entry.meta else ""
    looks = []
    for target in settings.targets:
        served, match = look_until_mismatch(prober, target, expected=expected, matches=settings.matches)
        looks.append(TargetResult(target.label, now, served, match))
    return tuple(looks)
