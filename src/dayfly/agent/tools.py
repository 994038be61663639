"""What the work on a certificate needs of the world, in one value: tests give fakes, wiring gives the real ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event

from cryptography import x509

from dayfly.agent.clock import Clock
from dayfly.agent.enrolling import Issuer
from dayfly.agent.hooks import HookOutcome, HookRun, run_reload
from dayfly.agent.journal import Journal
from dayfly.agent.layout import Layout
from dayfly.agent.metrics import Meters
from dayfly.agent.probing import Prober
from dayfly.agent.settings import Reload
from dayfly.agent.speaking import Say
from dayfly.agent.status import Board


@dataclass(frozen=True, slots=True)
class Tools:
    """Shared by all certificates; everything in it may be used from several threads. `stop` ends what takes long."""

    layout: Layout
    clock: Clock
    journal: Journal
    board: Board
    meters: Meters
    say: Say
    issuer: Issuer
    prober: Prober
    root: x509.Certificate
    reload: Callable[[Reload, HookRun], HookOutcome] = run_reload
    stop: Event = field(default_factory=Event)
