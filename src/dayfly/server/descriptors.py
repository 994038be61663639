"""How many connections the process may hold: what the limit of its descriptors allows.

Rules: the soft limit is raised as far as the hard one lets; what is still missing the front has less.
"""

from __future__ import annotations

import resource

from dayfly.core.frozen import replace
from dayfly.server.limits import FrontLimits

_RESERVED = 128
"""For the database, logs, validations."""


def within_descriptors(limits: FrontLimits) -> FrontLimits:
    """Raise the soft descriptor limit as far as needed and allowed; fewer connections where that is not enough.

    A connection takes one, and during its handshake two.
    """
    wanted = limits.connections + limits.half_open + _RESERVED
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return limits
    left = max(soft - _RESERVED, 2)
    half_open = min(limits.half_open, left // 4 or 1)
    return replace(limits, half_open=half_open, connections=max(left - half_open, 1))
