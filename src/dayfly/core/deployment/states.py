"""The states of a certificate on a host, in exactly the words of agent.md 3, and the arrows between them as a table.

Rules: `served` has one way in, from `verifying`, by the new certificate being seen on every target; what is not in
the table is IllegalTransition, always a bug; people, metrics and reports see these words and no others.
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where a certificate stands."""

    IDLE = "idle"
    DUE = "due"
    REQUESTING = "requesting"
    STAGED = "staged"
    INSTALLED = "installed"
    RELOADING = "reloading"
    VERIFYING = "verifying"
    SERVED = "served"
    BACKOFF = "backoff"
    DEGRADED = "degraded"
    STUCK = "stuck"
    OBSERVE = "observe"
    PAUSED = "paused"
