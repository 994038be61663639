"""The agent's log: one line for each transition, on standard error (interfaces.md 4).

Rules: JSON where standard error is no terminal, words where it is one; a line says what happened and why; keys, tokens
and requests never come here; a reader that went away harms nobody.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable
from typing import TextIO

import msgspec

from dayfly.agent.clock import Clock
from dayfly.agent.failures import printable

Say = Callable[..., None]


class Speaker:
    """Writes lines; any number of threads may speak."""

    def __init__(self, clock: Clock, *, stream: TextIO | None = None) -> None:
        """Speak to `stream`, or to standard error."""
        self._clock = clock
        self._stream = stream if stream is not None else sys.stderr
        self._words = self._stream.isatty()
        self._lock = threading.Lock()

    def __call__(self, event: str, *, certificate: str = "", text: str = "", **fields: object) -> None:
        """One line about `event`; `fields` follow it in JSON, and the `text` is all that a terminal shows."""
        at = self._clock.now()
        if self._words:
            self.line(" ".join(part for part in (f"{at:%H:%M:%S}", certificate, event, printable(text)) if part))
            return
        known = {"at": at, "event": event, "certificate": certificate, "text": printable(text), **fields}
        self.line(msgspec.json.encode({key: value for key, value in known.items() if value != ""}).decode())

    def line(self, text: str) -> None:
        """This very line, whole."""
        with self._lock, contextlib.suppress(OSError, ValueError):
            self._stream.write(text + "\n")
            self._stream.flush()
