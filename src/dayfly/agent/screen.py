"""What `dayfly agent status` and `verify` show (agent.md 19).

Rules: the first column says at a glance whether a person is needed; what is not known is a dash; every text that came
from elsewhere is printable by the time it is here.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from dayfly.agent.failures import printable
from dayfly.agent.probing import TargetResult
from dayfly.agent.status import AgentStatus, CertificateStatus
from dayfly.core.deployment.states import State

_GOOD = (State.IDLE, State.SERVED)
_QUIET = (State.OBSERVE, State.PAUSED)
_HEADINGS = ("", "NAME", "STATE", "LEFT", "LIFE (used)", "SERVED ON", "NEXT")
_BAR = 10


def render_status(status: AgentStatus, *, host: str, now: datetime) -> str:
    """The table, a line of words for each problem, and the head line."""
    rows = [_HEADINGS, *(_row(entry, now) for entry in status.certificates)]
    problems = [_problem(entry) for entry in status.certificates if entry.progress.reason and not _is_good(entry)]
    count = f"{len(problems)} problem{'s' if len(problems) != 1 else ''}."
    return "\n".join([_head(status, host, now), *_table(rows), *([count, *problems] if problems else [])])


def render_looks(status: AgentStatus) -> str:
    """One line for each target: yes or no, and why."""
    lines = []
    for entry in status.certificates:
        name = entry.progress.certificate
        if entry.meta is None:
            lines.append(f"✖ {name}  there is no certificate yet")
        lines += [_look_line(name, look, entry) for look in entry.targets]
        if not entry.targets:
            lines.append(f"– {name}  no target is declared")
    return "\n".join(lines)


def status_facts(status: AgentStatus, *, now: datetime) -> dict[str, Any]:
    """The same for `--json`."""
    return {
        "at": now,
        "directory": status.directory,
        "pid": status.pid or None,
        "ca_last_success": status.ca_last_success,
        "certificates": [_facts(entry, now) for entry in status.certificates],
    }


def _facts(entry: CertificateStatus, now: datetime) -> dict[str, Any]:
    progress, meta = entry.progress, entry.meta
    return {
        "name": progress.certificate,
        "names": entry.names,
        "owner": entry.owner,
        "state": progress.state,
        "code": progress.code,
        "reason": progress.reason,
        "generation": meta.generation if meta else None,
        "serial": str(int(meta.serial, 16)) if meta else None,
        "serial_hex": meta.serial if meta else None,
        "not_before": meta.not_before if meta else None,
        "not_after": meta.not_after if meta else None,
        "left_seconds": round(entry.left(now), 3) if meta else None,
        "life_used": round(entry.used(now), 4) if meta else None,
        "due": progress.due,
        "next_attempt": progress.next_attempt,
        "failures": progress.failures,
        "last_attempt": progress.last_attempt,
        "last_success": progress.last_success,
        "last_verified": progress.last_verified,
        "targets": [_look_facts(look) for look in entry.targets],
    }


def _look_facts(look: TargetResult) -> dict[str, Any]:
    served = look.served
    return {
        "target": look.target,
        "at": look.at,
        "match": look.match,
        "verified": look.verified,
        "serial_hex": served.serial or None,
        "not_after": served.not_after,
        "chain_valid": served.chain_valid,
        "tls_version": served.tls_version or None,
        "error": served.error or None,
    }


def _head(status: AgentStatus, host: str, now: datetime) -> str:
    heard = "no answer seen yet"
    if status.ca_last_success:
        heard = f"last success {_span((now - status.ca_last_success).total_seconds())} ago"
    count = len(status.certificates)
    return f"{host} · CA {status.directory} ({heard}) · {count} certificate{'s' if count != 1 else ''}"


def _row(entry: CertificateStatus, now: datetime) -> tuple[str, ...]:
    progress = entry.progress
    used = entry.used(now)
    full = round(used * _BAR)
    life = f"{'█' * (_BAR - full)}{'·' * full} {used * 100:.0f} %" if entry.meta else "–"
    served = "  ".join(f":{look.target.rpartition(':')[2]} {_mark(look)}" for look in entry.targets)
    left = _span(entry.left(now)) if entry.meta else "–"
    return (_sign(entry, now), progress.certificate, progress.state, left, life, served or "–", _next(entry, now))


def _is_good(entry: CertificateStatus) -> bool:
    return entry.progress.state in _GOOD


def _sign(entry: CertificateStatus, now: datetime) -> str:
    if entry.progress.state in _QUIET:
        return "–"
    if entry.meta and not entry.is_low(now) and _is_good(entry):
        return "✔"
    return "✖" if not entry.left(now) or entry.progress.state is State.STUCK else "!"


def _mark(look: TargetResult) -> str:
    if look.verified:
        return "✔"
    return f"✖ old {look.served.serial[:12]}" if look.served.fingerprint else "✖ no answer"


def _next(entry: CertificateStatus, now: datetime) -> str:
    progress = entry.progress
    if progress.next_attempt:
        return f"retry {_span((progress.next_attempt - now).total_seconds())}"
    return f"in {_span((progress.due - now).total_seconds())}" if progress.due and _is_good(entry) else "–"


def _problem(entry: CertificateStatus) -> str:
    return f"{entry.progress.certificate}: {printable(entry.progress.reason)}"


def _look_line(name: str, look: TargetResult, entry: CertificateStatus) -> str:
    if look.verified and entry.meta:
        return f"✔ {name}  {look.target} serves {entry.meta.serial}"
    return f"✖ {name}  {look.words() or 'nothing to compare with'}"


def _span(seconds: float) -> str:
    """A time to read: `15h 02m`, `21m`, `42s`."""
    whole = max(0, int(seconds))
    if whole >= 86_400:
        return f"{whole // 86_400}d {whole % 86_400 // 3600:02d}h"
    if whole >= 3600:
        return f"{whole // 3600}h {whole % 3600 // 60:02d}m"
    return f"{whole // 60}m {whole % 60:02d}s" if whole >= 60 else f"{whole}s"


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(_width(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
