"""Where the agent's parts meet: settings in, workers out, and the process around them (architecture.md 8).

Rules: everything that can be wrong with configuration is found before the ready line; the system's clock and sockets
enter here and nowhere else.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from dayfly import __version__
from dayfly.agent.clock import Clock, SystemClock
from dayfly.agent.enrolling import Issuer
from dayfly.agent.journal import Journal
from dayfly.agent.layout import Layout, refuse_ca_home
from dayfly.agent.looking import look_now
from dayfly.agent.loop import Rounds, run_loop
from dayfly.agent.metrics import BoardCollector, Meters
from dayfly.agent.metrics_server import serve_metrics
from dayfly.agent.once import run_once
from dayfly.agent.pacing import pace_of
from dayfly.agent.probing import TLSProber
from dayfly.agent.settings import AgentSettings, load_settings
from dayfly.agent.speaking import Speaker
from dayfly.agent.status import AgentStatus, Board, load_status
from dayfly.agent.tables import read_text_file
from dayfly.agent.tools import Tools
from dayfly.agent.work import Worker
from dayfly.core.frozen import replace
from dayfly.errors import ConfigError
from dayfly.systemd import notify

MakeIssuer = Callable[[AgentSettings, Layout], Issuer]
_LONGEST_TICK = 20.0
_LIVE_WITHIN = 60.0


def read_settings(home: Path, config: Path | None) -> AgentSettings:
    """The settings in `config`, or in `agent.toml` of the home; ConfigError, also for a CA's home."""
    refuse_ca_home(home)
    return load_settings(config or home / "agent.toml", home=home)


def load_root(path: Path) -> x509.Certificate:
    """The one root that is trusted; ConfigError unless the file holds exactly one certificate of a CA."""
    text = read_text_file(path, limit=1 << 20)
    try:
        (root,) = x509.load_pem_x509_certificates(text.encode())
        if not root.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            raise ConfigError("ca.root", f"{path} holds a certificate that is no CA's")
    except (ValueError, x509.ExtensionNotFound) as error:
        raise ConfigError("ca.root", f"{path} must hold exactly one root certificate in PEM") from error
    return root


def make_prober(root: x509.Certificate, settings: AgentSettings) -> TLSProber:
    """A prober that trusts the root, and waits no longer than the shortest life allows."""
    shortest = min(_life(settings))
    return TLSProber(root.public_bytes(Encoding.PEM).decode(), timeout=min(5.0, shortest / 12))


def make_tools(settings: AgentSettings, layout: Layout, *, clock: Clock, say: Speaker, issuer: Issuer) -> Tools:
    """The parts that all certificates share; the directories are made."""
    layout.prepare(tuple(one.name for one in settings.certificates))
    root = load_root(settings.ca.root)
    head = AgentStatus(clock.now(), settings.ca.directory, (), os.getpid(), __version__)
    board, meters = Board(layout, head=head), Meters()
    meters.registry.register(BoardCollector(board, meters))
    return Tools(
        layout=layout,
        clock=clock,
        journal=Journal(layout.journal, lock=layout.lock(".journal")),
        board=board,
        meters=meters,
        say=say,
        issuer=issuer,
        prober=make_prober(root, settings),
        root=root,
    )


def run_agent(home: Path, config: Path | None, *, once: bool, make_issuer: MakeIssuer) -> int:
    """Run until asked to stop, or for one pass; the exit code. ConfigError before the ready line."""
    os.umask(0o077)
    settings = read_settings(home, config)
    layout, clock = Layout(home), SystemClock()
    say = Speaker(clock)
    tools = make_tools(settings, layout, clock=clock, say=say, issuer=make_issuer(settings, layout))
    workers = [Worker(one, tools) for one in settings.certificates]
    if once:
        return run_once(workers, clock=clock, say=say, stop=tools.stop)
    asyncio.run(_serve(settings, tools, workers, say))
    return 0


async def _serve(settings: AgentSettings, tools: Tools, workers: list[Worker], say: Speaker) -> None:
    tick = min(_LONGEST_TICK, *(pace_of(life).tick.total_seconds() for life in _life(settings)))
    rounds = Rounds(clock=tools.clock, meters=tools.meters, say=say, stop=tools.stop, tick=tick)
    metrics = ""
    if settings.metrics:
        health = {"/livez": lambda: _is_live(tools, tick), "/readyz": lambda: tools.meters.loop_completed is not None}
        metrics = serve_metrics(settings.metrics, tools.meters.registry, health=health)
    say.line(render_ready(settings, tools.root, metrics=metrics))
    notify(f"READY=1\nSTATUS={len(workers)} certificates")
    await run_loop(workers, rounds)
    notify("STOPPING=1")


def render_ready(settings: AgentSettings, root: x509.Certificate, *, metrics: str) -> str:
    """The ready line (interfaces.md 4), always JSON."""
    line = {
        "event": "ready",
        "url": settings.ca.directory,
        "metrics": metrics,
        "fingerprint": root.fingerprint(hashes.SHA256()).hex(),
        "pid": os.getpid(),
        "workers": 1,
    }
    return msgspec.json.encode(line).decode()


def _is_live(tools: Tools, tick: float) -> bool:
    last = tools.meters.loop_completed
    return last is None or (tools.clock.now() - last).total_seconds() < max(_LIVE_WITHIN, 3 * tick)


def _life(settings: AgentSettings) -> list[float]:
    return [pace_of(one.lifetime).life.total_seconds() for one in settings.certificates]


def read_status(home: Path, config: Path | None) -> tuple[AgentStatus, datetime]:
    """The state on disk, with the agent's last looks, and the time of asking; ConfigError."""
    now = SystemClock().now()
    return load_status(Layout(home), read_settings(home, config), now=now), now


def verify_now(home: Path, config: Path | None, name: str) -> tuple[AgentStatus, bool]:
    """Look now at the targets of one certificate, or of `all`; what was seen, and whether all serve what is on disk.

    ConfigError for a name that is not declared. Nothing is written.
    """
    settings = read_settings(home, config)
    chosen = tuple(one for one in settings.certificates if name in (one.name, "all"))
    if not chosen:
        raise ConfigError("cert", f"no certificate is called {name!r}", hint="dayfly agent status lists them")
    prober = make_prober(load_root(settings.ca.root), settings)
    return look_now(Layout(home), replace(settings, certificates=chosen), prober, now=SystemClock().now())
