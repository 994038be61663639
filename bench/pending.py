"""One account with 10,000 pending orders, and 2,000 half-open connections, beside the flow of somebody else.

Rules: loopback only; the limits are off, since they would stop the account at 1,000; quiet and loaded values come in
turn, in one run.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import load
from cryptography.hazmat.primitives.asymmetric import ec
from halfopen import crowd
from servers import Dayfly

from dayfly.client.acme import ACMEClient
from dayfly.client.transport import Transport, trusting

ORDERS = 10_000


def measure_pending(
    binary: Path, alone: Dayfly, ca: Dayfly, *, seconds: float, repeat: int, orders: int = ORDERS
) -> dict[str, Any]:
    """p99 of a complete flow alone, beside pending orders, and beside half-open connections too, so many times in turn.

    `alone` is a CA like the other one, without the orders: what the machine does meanwhile is felt by both.
    """
    with ca.running() as target:
        began = time.monotonic()
        _order(target, orders)
        took = time.monotonic() - began
    rounds = [_round(binary, alone, ca, seconds=seconds) for _ in range(repeat)]
    return {"orders": orders, "order_seconds": took, "rounds": rounds}


def _round(binary: Path, alone: Dayfly, ca: Dayfly, *, seconds: float) -> dict[str, Any]:
    with alone.running() as target:
        load.run(binary, target, mode="acme", workers=1, seconds=1)
        quiet = load.run(binary, target, mode="acme", workers=1, seconds=seconds)
    with ca.running() as target:
        load.run(binary, target, mode="acme", workers=1, seconds=1)
        pending = load.run(binary, target, mode="acme", workers=1, seconds=seconds)
        with crowd(target) as counts:
            loaded = load.run(binary, target, mode="acme", workers=1, seconds=seconds)
            held, opened = counts()
    quiet_ms, pending_ms, loaded_ms = (run["steps"]["total"]["p99_ms"] for run in (quiet, pending, loaded))
    return {
        "held": held,
        "opened": opened,
        "quiet_ms": quiet_ms,
        "pending_ms": pending_ms,
        "loaded_ms": loaded_ms,
        "ratio": loaded_ms / quiet_ms,
        "errors": loaded["errors_total"],
        "runs": (quiet, pending, loaded),
    }


def _order(target: load.Target, orders: int) -> None:
    """One account asks for so many names, and proves none of them."""
    with Transport(target.directory, trusting(target.ca)) as transport:
        client = ACMEClient(transport, target.directory, ec.generate_private_key(ec.SECP256R1()))
        client.ensure_account()
        for number in range(orders):
            client.new_order([("dns", f"pending-{number}.load.test")])
