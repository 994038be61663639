"""Log lines: one line, whatever is in it, and never a secret (security.md 9, L5)."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from dayfly.server.logs import configure_logging

LOGGER = logging.getLogger("dayfly.test")
KEY = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49\n-----END PRIVATE KEY-----"
TOKEN = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"


@pytest.fixture(params=["json", "console"])
def out(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """Where the lines of each form go."""
    stream = io.StringIO()
    root = logging.getLogger("dayfly")
    before = (root.handlers[:], root.level, root.propagate)
    configure_logging(request.param, stream=stream)
    yield stream
    root.handlers[:], root.propagate = before[0], before[2]
    root.setLevel(before[1])


@pytest.mark.parametrize("hostile", ["a\r\nb", "\x1b[2J", "\u2028", "x" * 100_000, "\x00"])
def test_line_is_one_line_and_bounded__l5(out: io.StringIO, hostile: str) -> None:
    """CR, LF, ESC, line separators and long texts stay inside one short line."""
    LOGGER.info("it said %s", hostile, extra={"agent": hostile})
    lines = out.getvalue().split("\n")
    assert len(lines) == 2
    assert len(lines[0]) <= 8_000
    assert lines[0].isprintable()


@pytest.mark.parametrize("secret", [KEY, KEY[:60], TOKEN])
def test_shapes_of_secrets_are_taken_out__l1(out: io.StringIO, secret: str) -> None:
    """PEM keys, also cut ones, and tokens do not come through, neither in the text nor in a field."""
    LOGGER.warning("odd: %s", secret, extra={"detail": secret})
    assert "[redacted]" in out.getvalue()
    assert "MIGHAgEA" not in out.getvalue()
    assert TOKEN[:20] not in out.getvalue()


def test_stack_has_places_and_no_values__l2(out: io.StringIO) -> None:
    """An unexpected error is logged by type and place; what it said stays out."""
    try:
        int("the password is swordfish")
    except ValueError:
        LOGGER.exception("request 7 failed")
    assert "ValueError" in out.getvalue()
    assert "test_logs.py" in out.getvalue()
    assert "swordfish" not in out.getvalue()


def test_json_line_has_time_level_event_and_fields() -> None:
    """One object a line, for machines."""
    stream = io.StringIO()
    root = logging.getLogger("dayfly")
    before = (root.handlers[:], root.level, root.propagate)
    configure_logging(None, stream=stream)  # no terminal: JSON
    LOGGER.error("upkeep failed", extra={"job": "prune", "empty": ""})
    root.handlers[:], root.propagate = before[0], before[2]
    root.setLevel(before[1])
    line = json.loads(stream.getvalue())
    assert {key: line[key] for key in ("level", "event", "job")} == {
        "level": "error", "event": "upkeep failed", "job": "prune",
    }  # fmt: skip
    assert line["time"].endswith("Z")
    assert "empty" not in line
