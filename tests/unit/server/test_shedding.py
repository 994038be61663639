"""What is told of connections that are not served."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import pytest

from dayfly.server.shedding import WARN_EVERY, Shed, Shedding


def test_shedding_tells_what_is_new_and_nothing_twice() -> None:
    """By reason, since the last time; where nothing was shed nobody is told."""
    told: list[Mapping[Shed, int]] = []
    one = Shedding(told.append)
    one.tell(0.0)
    for reason in (Shed.RATE, Shed.HALF_OPEN, Shed.RATE):
        one.note(reason)
    one.tell(1.0)
    one.tell(2.0)
    one.note(Shed.FULL)
    one.tell(3.0)
    assert told == [{Shed.RATE: 2, Shed.HALF_OPEN: 1}, {Shed.FULL: 1}]


def test_shedding_warns_at_once_and_then_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """A flood is one line a minute, with all that came since the last one."""
    one = Shedding(lambda _: None)
    with caplog.at_level(logging.WARNING, "dayfly.server"):
        for second in range(int(WARN_EVERY) + 1):
            one.note(Shed.RATE)
            one.tell(float(second))
        one.tell(3 * WARN_EVERY)
    assert [record.args for record in caplog.records] == [("rate: 1",), (f"rate: {WARN_EVERY:.0f}",)]
