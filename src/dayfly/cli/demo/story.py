"""The demo's story, in six chapters; each proves what it says, and the demo fails where it cannot.

1. A CA is made.  2. It starts.  3. A service and its agent start; the first certificate is seen served.
4. Two renewals are seen served.  5. The reload is broken, and Dayfly notices.  6. What else it promises: a name that
no rule allows is refused, the log verifies, and an independent connection proves what is served.
"""

from __future__ import annotations

import json
import re
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from dayfly.cli.demo.looks import Leaf, five_signals, installed_leaf, scrape, served_leaf, total
from dayfly.cli.demo.screen import Screen
from dayfly.cli.demo.stage import (
    CA_NAME,
    NAME,
    PROVISIONER,
    DemoError,
    Stage,
    agent_settings,
    allow_loopback,
    command_line,
)
from dayfly.errors import DayflyError

RENEWALS = 2
GIVE_UP = 170.0  # seconds; the promise is three minutes
DENIED = "shop.corp.example.net"
LOOK_EVERY = 0.5


@dataclass(slots=True)
class Story:
    """The demo while it plays."""

    stage: Stage
    screen: Screen
    seen: list[Leaf]

    def tell(self, *, keep: bool) -> None:
        """All chapters, in order."""
        self.make_ca()
        self.start_ca()
        self.start_service()
        self.watch_renewals()
        self.break_reload()
        self.prove()
        if keep:
            self.keep_running()

    # --- 1 ------------------------------------------------------------------------------------------------------------

    def make_ca(self) -> None:
        """`ca init` and the ACME provisioner."""
        screen, stage = self.screen, self.stage
        screen.title("1  A certificate authority, from nothing")
        screen.why("the root key is written apart; the first name rule allows internal.example and all below it")
        init = ("ca", "init", "--name", "Demo CA", "--dns", CA_NAME, "--provisioner", "platform-team")
        address = ("--address", f"127.0.0.1:{stage.ports['ca']}")
        screen.command(command_line((*init, *address)))
        result = stage.dayfly(
            *init,
            *address,
            "--dns",
            "127.0.0.1",
            "--home",
            str(stage.ca_home),
            "--password-file",
            str(stage.password_file),
            "--json",
        )
        made = json.loads(result.stdout)
        rules = ", ".join(rule["pattern"] for rule in made["rules"])
        screen.step(f"root and intermediate made, keys encrypted, mode 0600; fingerprint {made['fingerprint'][:16]}…")
        screen.step(f"names that may be asked for: {rules} (owner platform-team); everything else is denied")
        lifetimes = ("--x509-min-dur", "10s", "--x509-default-dur", f"{stage.lifetime}s")
        add = ("ca", "provisioner", "add", PROVISIONER, "--type", "ACME", *lifetimes)
        screen.command(command_line(add))
        stage.dayfly(*add, "--home", str(stage.ca_home))
        screen.step(f"ACME provisioner {PROVISIONER}, certificates of {stage.lifetime} s unless asked otherwise")

    # --- 2 ------------------------------------------------------------------------------------------------------------

    def start_ca(self) -> None:
        """`ca start`."""
        screen, stage = self.screen, self.stage
        screen.title("2  The CA starts")
        allow_loopback(stage)
        arguments = ("ca", "start", "--home", str(stage.ca_home), "--password-file", str(stage.password_file))
        screen.command("dayfly ca start --password-file password")
        pid = stage.start("ca", "dayfly", *arguments)
        ready = stage.wait_ready("ca")
        screen.step(f"ready at {ready['url']} (process {pid}); its own TLS certificate is its first customer")

    # --- 3 ------------------------------------------------------------------------------------------------------------

    def start_service(self) -> None:
        """The service and the agent; the first certificate, seen served."""
        screen, stage = self.screen, self.stage
        screen.title(f"3  A service and its agent: {NAME}")
        screen.why("the service is a plain HTTPS server that loads its certificate at SIGHUP and at no other time")
        stage.agent_home.mkdir(mode=0o700)
        pid_file = stage.root / "service.pid"
        port = str(stage.ports["service"])
        pid = stage.start("service", "dayfly.cli.demo.service", port, str(stage.pair), str(pid_file))
        self._wait(pid_file.exists, "the service did not write its pid file")
        screen.step(f"service on 127.0.0.1:{port} (process {pid}), without a certificate so far")
        (stage.agent_home / "agent.toml").write_text(agent_settings(stage), "utf-8")
        screen.command("dayfly agent run --config agent.toml")
        config = str(stage.agent_home / "agent.toml")
        pid = stage.start("agent", "dayfly", "agent", "run", "--home", str(stage.agent_home), "--config", config)
        stage.wait_ready("agent")
        screen.step(f"agent (process {pid}): it asks by ACME, proves the name by http-01, installs, reloads, looks")
        first = self._await_new_leaf(None)
        screen.step(f"first certificate: serial {first.short} issued, installed, and SEEN SERVED on :{port}")

    # --- 4 ------------------------------------------------------------------------------------------------------------

    def watch_renewals(self) -> None:
        """Two renewals, each seen served."""
        screen = self.screen
        screen.title(f"4  Renewal: between half and two thirds of {self.stage.lifetime} s, {RENEWALS} times")
        screen.why("renewed, installed and served are three things; only a look at the live service gives the third")
        for number in range(1, RENEWALS + 1):
            before = self.seen[-1]
            after = self._await_new_leaf(before)
            left = before.not_after - time.time()  # noqa: TID251 - a person's clock
            times = f"served {before.short} before, {after.short} after"
            screen.step(f"renewal {number}: {times}; the old one had {left:.0f} s left")
            self._show_signals(force=True)

    # --- 5 ------------------------------------------------------------------------------------------------------------

    def break_reload(self) -> None:
        """The service goes deaf; the renewal is issued and installed, and Dayfly says that it is not served."""
        screen, stage = self.screen, self.stage
        screen.title("5  Now the reload breaks, silently")
        screen.why("the service will take SIGHUP and do nothing: the failure that file-based monitoring never sees")
        stage.signal("service", signal.SIGUSR1)
        before = self.seen[-1]
        screen.note(f"the service is deaf now; it serves {before.short}; the next renewal comes by itself")
        self._wait(lambda: installed_leaf(stage.pair) != before, "no renewal came")
        newest = installed_leaf(stage.pair)
        screen.note(f"renewed: {newest.short} is installed, and the reload ended without an error")
        self._wait(lambda: self._state() in {"degraded", "backoff"}, "the agent did not notice")
        status = self._status()
        screen.warn(f"Dayfly notices: {status['state']}: {_shorter(status['reason'])}")
        match = total(scrape(stage.ports["agent_metrics"]), "dayfly_agent_probe_match", cert="api")
        if match != 0 or served_leaf(stage) != before:
            raise DemoError("the broken reload was not what the demo says it is")
        screen.warn(
            f'metric dayfly_agent_probe_match{{cert="api"}} {match:.0f}: the alert DayflyServedCertStale watches it'
        )
        self._show_signals(force=True)
        stage.signal("service", signal.SIGUSR2)
        screen.note("the service listens again; nobody calls the agent, which goes on trying by itself")
        self._await_new_leaf(before)
        screen.step(f"healed: {self.seen[-1].short} is seen served; one failure, no outage")

    # --- 6 ------------------------------------------------------------------------------------------------------------

    def prove(self) -> None:
        """The independent look, the denied name, the log."""
        screen, stage = self.screen, self.stage
        screen.title("6  Proofs")
        served, newest = served_leaf(stage), installed_leaf(stage.pair)
        if served != newest:
            raise DemoError(f"the service serves {served.short}, the newest is {newest.short}")
        screen.step(
            f"an independent TLS connection that trusts the root alone gets {served.short}: the newest generation"
        )
        self._show_denial()
        result = stage.dayfly("ca", "log", "verify", "--home", str(stage.ca_home), "--json")
        log = json.loads(result.stdout)
        screen.command("dayfly ca log verify")
        screen.step(f"the log verifies: {log['size']} entries, root hash {log['root_hash'][:16]}…")
        self._show_signals(force=True)

    def _show_denial(self) -> None:
        screen, stage = self.screen, self.stage
        arguments = ("ca", "certificate", DENIED, "shop.crt", "shop.key", "--provisioner", PROVISIONER)
        screen.command(command_line(arguments))
        files = (str(stage.root / "shop.crt"), str(stage.root / "shop.key"))
        address = ("--ca-url", f"https://127.0.0.1:{stage.ports['ca']}", "--root", str(stage.root_certificate))
        listen = ("--http-listen", f"127.0.0.1:{stage.ports['challenge']}")
        result = stage.dayfly(
            "ca", "certificate", DENIED, *files, "--provisioner", PROVISIONER, *address, *listen, "--json", check=False
        )
        if result.returncode == 0:
            raise DemoError(f"{DENIED} was issued, and no rule allows it")
        refusal = json.loads(result.stdout)
        rule = refusal.get("rule")
        if not rule:
            raise DemoError(f"the refusal of {DENIED} names no rule: {result.stdout}{result.stderr}")
        screen.step(f"denied, as it should be: rule {rule}; nearest that would be allowed: {refusal['nearest']}")

    # --- the end ------------------------------------------------------------------------------------------------------

    def keep_running(self) -> None:
        """KEEP=1: everything stays until Ctrl-C."""
        stage, screen = self.stage, self.screen
        screen.title("Everything keeps running; Ctrl-C ends it")
        screen.lines(f"CA        https://127.0.0.1:{stage.ports['ca']}/acme/{PROVISIONER}/directory")
        screen.lines(f"root      {stage.root_certificate}")
        screen.lines(f"service   https://127.0.0.1:{stage.ports['service']}/ (as {NAME})")
        screen.lines(f"metrics   http://127.0.0.1:{stage.ports['ca_metrics']}/metrics (CA)")
        screen.lines(f"          http://127.0.0.1:{stage.ports['agent_metrics']}/metrics (agent)")
        screen.lines(f"status    dayfly agent status --home {stage.agent_home}")
        while True:
            stage.check_all()
            self._show_signals()
            time.sleep(LOOK_EVERY)

    # --- looking ------------------------------------------------------------------------------------------------------

    def _await_new_leaf(self, before: Leaf | None) -> Leaf:
        """The leaf that the service serves once it is another than `before` and the agent says served."""

        def is_served() -> bool:
            try:
                leaf = served_leaf(self.stage)
            except OSError:
                return False
            if leaf == before or self._state() != "served" or leaf != installed_leaf(self.stage.pair):
                return False
            self.seen.append(leaf)
            return True

        self._wait(is_served, "no new certificate was seen served")
        return self.seen[-1]

    def _wait(self, condition: Callable[[], bool], otherwise: str) -> None:
        """Look twice a second until the condition holds, with the signals live; DemoError when time is up."""
        while not condition():
            self.stage.check_all()
            if self.screen.seconds > GIVE_UP:
                raise DemoError(f"{otherwise} within {GIVE_UP:.0f} s; the agent says: {self._status()}")
            self._show_signals()
            time.sleep(LOOK_EVERY)

    def _status(self) -> dict[str, str]:
        """The agent's word on the certificate."""
        result = self.stage.dayfly("agent", "status", "--home", str(self.stage.agent_home), "--json", check=False)
        try:
            (entry,) = json.loads(result.stdout)["certificates"]
        except (ValueError, KeyError):
            raise DemoError(f"agent status said: {result.stdout}{result.stderr}") from None
        return {"state": entry["state"], "reason": entry.get("reason") or ""}

    def _state(self) -> str:
        """The agent's state word for the certificate, from its metrics."""
        try:
            samples = scrape(self.stage.ports["agent_metrics"])
        except OSError:
            return ""
        name = "dayfly_agent_cert_state"
        return next((dict(labels)["state"] for (found, labels), on in samples.items() if found == name and on), "")

    def _show_signals(self, *, force: bool = False) -> None:
        if not self.seen or (not force and not self.screen.is_live):
            return
        try:
            self.screen.signals(five_signals(self.stage))
        except OSError:
            return  # a scrape that fails is what the next one is for; a dead process is found by check_all


def _shorter(reason: str) -> str:
    """The reason with serials as short as the story's."""
    return re.sub(r"[0-9a-f]{24,}", lambda match: f"…{match[0][-8:]}", reason)


def play(*, keep: bool, lifetime: int) -> int:
    """Play the demo; 0 when all of it was shown."""
    screen = Screen()
    try:
        with Stage(lifetime) as stage:
            story = Story(stage, screen, [])
            story.tell(keep=keep)
            shown = f"{RENEWALS + 1} renewals seen served, one broken reload noticed and healed"
            screen.title(f"Done in {screen.seconds:.0f} s: {shown}.")
    except KeyboardInterrupt:
        screen.close()
        return 0 if keep else 130
    except DayflyError as error:
        screen.fail(str(error))
        screen.close()
        sys.stderr.write(f"error: the demo did not show what it promises: {error}\n")
        return 1
    screen.close()
    return 0
