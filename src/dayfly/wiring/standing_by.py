"""What a process that is alone tells systemd while it serves: that it lives, and how it stands.

Rules: the watchdog hears from a loop that turns; what a restart cannot mend (a full disk, an expired issuer) is status
and /readyz, and never a reason to be restarted.
"""

from __future__ import annotations

import asyncio

from dayfly.systemd import notify, watchdog_interval
from dayfly.wiring.health import Health

LOOK_EVERY = 10.0  # seconds


async def tell_systemd(health: Health) -> None:
    """Send WATCHDOG and STATUS, until cancelled."""
    watchdog, status = watchdog_interval(), ""
    while True:
        failing = sorted(name for name, passed in (await health.checks()).items() if not passed)
        words = f"serving; failing: {', '.join(failing)}" if failing else "serving"
        if words != status:
            status = words
            notify(f"STATUS={words}")
        if watchdog is not None:
            notify("WATCHDOG=1")
        await asyncio.sleep(LOOK_EVERY if watchdog is None else min(watchdog, LOOK_EVERY))
