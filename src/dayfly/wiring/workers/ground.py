"""What all workers stand on: made once, before the first of them is forked."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from dayfly.adapters.buckets import BucketTable
from dayfly.adapters.marks import MarkTable
from dayfly.adapters.nonces import Rings
from dayfly.adapters.shared import Slots
from dayfly.config.values import Config
from dayfly.wiring.keys import Keys


@dataclass(slots=True)
class Ground:
    """The shared memory, the socket, the keys, and the way of counts; `config` is the one that a new worker runs with.

    `crl` is the socket of the CRLs, where there is one. `counts` is the writing end, None where nobody collects.
    """

    config: Config
    keys: Keys
    workers: int
    listener: socket.socket
    counts: socket.socket | None
    slots: Slots
    rings: Rings
    marks: MarkTable
    buckets: BucketTable
    crl: socket.socket | None = None


def make_ground(
    config: Config, keys: Keys, workers: int, *, listener: socket.socket, counts: socket.socket | None
) -> Ground:
    """Fresh memory for so many workers."""
    slots, rings, buckets = Slots(workers), Rings(workers=workers), BucketTable()
    return Ground(config, keys, workers, listener, counts, slots, rings, MarkTable(slots), buckets)
