"""How long work takes, told apart from how busy the machine is.

Rules: CPU time and the least of several readings; what is allowed is said for an idle core, and grows with the time
that a plain loop takes here and now; nothing is traced while it is measured, since tracing slows the two by
different shares.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

READINGS = 5
PLAIN_MS = 4.0  # the most that PLAIN takes on an idle core


def least_ms(work: Callable[[], object], *, refusal: type[Exception]) -> float:
    """The least CPU time of a few readings in milliseconds, refused or not."""
    times = []
    with _untraced():
        for _ in range(READINGS):
            start = time.process_time()
            with contextlib.suppress(refusal):
                work()
            times.append(time.process_time() - start)
    return min(times) * 1000


def allowed_ms(idle: float) -> float:
    """So much of an idle core, in milliseconds of this one as it is now."""
    return idle * max(1.0, least_ms(_plain, refusal=ArithmeticError) / PLAIN_MS)


def _plain() -> list[int]:
    return [number & 1 for number in range(100_000)]


@contextlib.contextmanager
def _untraced() -> Iterator[None]:
    """Without coverage's or a debugger's trace function."""
    tracing = sys.gettrace()
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(tracing)
