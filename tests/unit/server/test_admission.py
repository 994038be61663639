"""Who may connect: a place is asked for before it is taken from somebody else."""

from __future__ import annotations

import pytest

from dayfly.core.frozen import replace
from dayfly.server.admission import Admission
from dayfly.server.limits import FrontLimits
from dayfly.server.shedding import Shed


class Listener:
    """An admission whose room is made by giving back a place of `idle`, as often as there is one."""

    def __init__(self, limits: FrontLimits) -> None:
        self.admission = Admission(limits)
        self.idle: list[int] = []
        self.now = 0.0

    def make_room(self) -> None:
        if self.idle:
            self.admission.release(self.idle.pop())

    def connect(self, peer: str) -> int | Shed:
        return self.admission.admit(peer, self.now, self.make_room)


LIMITS = replace(FrontLimits(), connections=3, peer_connections=2, peer_rate=0.0)


def test_room_is_made_for_a_peer_that_may_have_it__reliability_r11() -> None:
    """One idle connection goes for one that comes; where none is idle nobody gets in."""
    one = Listener(LIMITS)
    one.idle = [key for number in range(3) if isinstance(key := one.connect(f"192.0.2.{number}"), int)]
    assert isinstance(one.connect("192.0.2.9"), int)
    assert (len(one.idle), one.admission.open) == (2, 3)
    one.idle.clear()
    assert one.connect("192.0.2.10") is Shed.FULL


@pytest.mark.parametrize("why", ["share", "rate"])
def test_peer_that_is_refused_anyway_pushes_nobody_out__security_h7(why: str) -> None:
    """Neither above its share nor above its rate, however often it tries."""
    rate = 2.0 if why == "rate" else 0.0
    one = Listener(replace(LIMITS, peer_rate=rate, peer_connections=2 if why == "share" else 99))
    honest = one.connect("192.0.2.1")
    assert isinstance(honest, int)
    one.idle = [honest]
    answers = [one.connect("198.51.100.7") for _ in range(20)]
    assert answers[-1] is Shed(why)
    assert one.idle == [honest]


def test_try_without_room_costs_its_rate__security_h8() -> None:
    """Else a peer could push one connection after the other out as fast as it likes: the listener closes late."""
    one = Listener(replace(LIMITS, peer_rate=2.0, peer_connections=99))
    tries: list[str] = []
    for number in range(3):
        assert isinstance(one.connect(f"192.0.2.{number}"), int)
    for _ in range(20):
        assert one.admission.admit("198.51.100.7", 0.0, lambda: tries.append("pushed")) in {Shed.FULL, Shed.RATE}
    assert len(tries) == 2
