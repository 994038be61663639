"""The host: clock, room, other services, leaks."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from dayfly.core.doctor.catalogue import Level
from dayfly.core.doctor.host import (
    GIB,
    MIB,
    HostFacts,
    Listener,
    ProcessFacts,
    judge_clock,
    judge_host,
    judge_process,
)
from dayfly.core.frozen import replace
from factories import NOW

HEALTHY = HostFacts(
    now=NOW, synchronised=True, free_octets=50 * GIB, free_inodes=10**6, filesystem="ext4",
    others=(Listener(22, "sshd", 0),),
)  # fmt: skip


def found(**changes: Any) -> list[tuple[str, Level]]:
    """What is not well on such a host."""
    judged = judge_host(replace(HEALTHY, **changes))
    assert all(one.next_step for one in judged if one.level is not Level.OK)
    return [(one.code, one.level) for one in judged if one.level is not Level.OK]


def test_healthy_host_has_no_finding() -> None:
    """Ssh is expected, and a file system that counts no inodes has enough."""
    assert found() == []
    assert found(free_inodes=None) == []


@pytest.mark.parametrize(
    ("changes", "code", "level"),
    [
        ({"synchronised": False}, "DF4101", Level.WARNING),
        ({"synchronised": None}, "DF4101", Level.UNKNOWN),
        ({"free_octets": GIB - 1}, "DF4104", Level.WARNING),
        ({"free_octets": 200 * MIB - 1}, "DF4104", Level.PROBLEM),
        ({"free_inodes": 999}, "DF4105", Level.PROBLEM),
        ({"others": (Listener(80, "nginx", 33),)}, "DF4106", Level.WARNING),
        ({"filesystem": "nfs4"}, "DF4109", Level.PROBLEM),
        ({"filesystem": "tmpfs"}, "DF4109", Level.WARNING),
    ],
)
def test_each_fault_of_a_host_has_its_code(changes: dict[str, Any], code: str, level: Level) -> None:
    """One deviation, one finding."""
    assert found(**changes) == [(code, level)]


def test_other_services_are_named_at_most_five() -> None:
    """By name, or by user where the process cannot be seen; a hidden one on port 22 is ssh."""
    others = (Listener(22, "", 0), *(Listener(8000 + n, "", 1000) for n in range(7)))
    (finding,) = [one for one in judge_host(replace(HEALTHY, others=others)) if one.code == "DF4106"]
    assert "a process of user 1000 on port 8000" in finding.says
    assert finding.says.endswith("and 2 more")


def test_clock_is_held_against_the_database_and_the_root() -> None:
    """A minute ahead is within back-dating; more is a clock that went back."""
    minute, second = timedelta(minutes=1), timedelta(seconds=1)

    def codes(newest: timedelta | None, since: timedelta | None) -> list[str]:
        judged = judge_clock(
            NOW,
            newest=None if newest is None else NOW + newest,
            root_since=None if since is None else NOW + since,
        )
        return [one.code for one in judged if one.level is Level.PROBLEM]

    assert codes(None, None) == codes(minute, -second) == []
    assert codes(minute + second, None) == ["DF4102"]
    assert codes(None, second) == ["DF4103"]


@pytest.mark.parametrize(
    ("facts", "codes"),
    [
        (ProcessFacts(7, 0, 0o077), []),
        (ProcessFacts(7, None, None), []),
        (ProcessFacts(7, 1 << 63, 0o077), ["DF4107"]),
        (ProcessFacts(7, 0, 0o022), ["DF4108"]),
        (ProcessFacts(7, 0, 0o177), []),
    ],
)
def test_server_leaks_no_dump_and_no_readable_file(facts: ProcessFacts, codes: list[str]) -> None:
    """Core dumps off, umask 0077 or tighter."""
    assert [one.code for one in judge_process(facts) if one.level is not Level.OK] == codes
