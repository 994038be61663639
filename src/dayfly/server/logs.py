"""The CA's log lines: one event a line on standard error, JSON where that is no terminal (interfaces.md 4).

Rules: human first on a terminal, JSON elsewhere; escaped and cut to one line whatever is in it; a stack has no
values; PEM and JWT shapes are taken out last, though nothing that holds them should come here.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, TextIO

MAX_LINE = 8_000
MAX_VALUE = 1_000

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_SECRETS = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_.-]+",
    re.DOTALL,
)
_LEVELS = {"WARNING": "warning", "ERROR": "error", "CRITICAL": "error", "DEBUG": "debug"}


def clean(text: str) -> str:
    """Text for one line: secrets' shapes taken out, control characters escaped, cut to a length."""
    printable = _SECRETS.sub("[redacted]", text)[:MAX_VALUE]
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in printable)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """What the caller added to the record, in its order."""
    extra = {key: value for key, value in vars(record).items() if key not in _STANDARD and value not in {"", None}}
    return {key: clean(value) if isinstance(value, str) else value for key, value in extra.items()}


def _stack(record: logging.LogRecord) -> list[str]:
    """Where an unexpected error came from: types and places, never values."""
    if not record.exc_info or record.exc_info[1] is None:
        return []
    error = record.exc_info[1]
    frames = traceback.extract_tb(error.__traceback__)[-12:]
    return [type(error).__name__, *(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames)]


class JSONFormatter(logging.Formatter):
    """One JSON object a line: `time`, `level`, `event`, then the fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The line for a record."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {
            "time": moment.replace("+00:00", "Z"),
            "level": _LEVELS.get(record.levelname, "info"),
            "event": clean(record.getMessage()),
            **_fields(record),
        }
        if stack := _stack(record):
            line["stack"] = stack
        return json.dumps(line, default=str)[:MAX_LINE]


class ConsoleFormatter(logging.Formatter):
    """Words for a person at a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """The line for a record."""
        moment = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S")
        words = " ".join(f"{key}={value}" for key, value in _fields(record).items())
        level = _LEVELS.get(record.levelname, "")
        parts = (moment, f"{level}:" if level else "", clean(record.getMessage()), words, *_stack(record))
        return " ".join(part for part in parts if part)[:MAX_LINE]


def configure_logging(kind: str | None, *, stream: TextIO | None = None) -> None:
    """Send our loggers to `stream` (standard error); `kind` is json, console, or None to choose by the terminal."""
    out = stream or sys.stderr
    handler = logging.StreamHandler(out)
    console = kind == "console" or (kind is None and out.isatty())
    handler.setFormatter(ConsoleFormatter() if console else JSONFormatter())
    root = logging.getLogger("dayfly")
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    root.propagate = False
