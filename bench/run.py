"""The benchmark: complete ACME issuances against a real CA process, certificates per second of server CPU.

`make bench` builds the load generator in ACMELOAD (Go), founds a CA in a scratch home with the limits off, and drives
it. It prints one line a run and writes all figures to bench/results/. Compare ratios of one run only.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench" / "results"
NAMES = 200
DAYFLY = [sys.executable, "-m", "dayfly"]


def build(source: Path, where: Path) -> Path:
    """The load generator, built outside its source."""
    if shutil.which("go") is None:
        sys.exit("error: Go is missing; the load generator needs it. next: apt-get install golang-go")
    if not source.exists():
        sys.exit(f"error: {source} is missing. next: make bench ACMELOAD=DIR")
    binary = where / "acmeload"
    environment = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod"}
    subprocess.run(["go", "build", "-o", str(binary), "."], cwd=source, env=environment, check=True)  # noqa: S603, S607
    return binary


def free_port() -> int:
    """A port of loopback that nobody has right now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Bench:
    """A CA in a scratch directory, and runs against it."""

    def __init__(self, where: Path, binary: Path) -> None:
        """Found the CA; the names of the load are static hosts, so that no name server is measured."""
        self.home, self.binary, self.where = where / "ca", binary, where
        self.port, self.solver, metrics = free_port(), free_port(), free_port()
        self.run_dayfly(
            "ca", "init", "--name", "Bench CA", "--dns", "127.0.0.1", "--address", f"127.0.0.1:{self.port}",
            "--provisioner", "bench", "--allow-dns", "load.test", "--no-password",
        )  # fmt: skip
        self.run_dayfly("ca", "provisioner", "add", "acme", "--type", "ACME")
        hosts = ", ".join(f'"h{number}.load.test" = "127.0.0.1"' for number in range(NAMES))
        toml = self.home / "ca.toml"
        toml.write_text(
            toml.read_text("utf-8").replace("127.0.0.1:9180", f"127.0.0.1:{metrics}")
            + f'\n[validation]\nhttp_port = {self.solver}\nallow = ["127.0.0.0/8"]\nhosts = {{ {hosts} }}\n'
            + "\n[limits]\nenabled = false\n",
            "utf-8",
        )

    def run_dayfly(self, *arguments: str) -> None:
        """Run a command to its end."""
        subprocess.run([*DAYFLY, *arguments, "--home", str(self.home)], check=True, capture_output=True)  # noqa: S603

    @contextmanager
    def server(self) -> Iterator[subprocess.Popen[str]]:
        """The CA's process, ready."""
        log = self.where / "ca.log"
        with log.open("w") as output:
            process = subprocess.Popen(  # noqa: S603
                [*DAYFLY, "ca", "start", "--home", str(self.home)], stderr=output, stdin=subprocess.DEVNULL, text=True
            )
        try:
            deadline = time.monotonic() + 20
            while '"event":"ready"' not in log.read_text("utf-8"):
                if process.poll() is not None or time.monotonic() > deadline:
                    sys.exit(f"error: the CA did not start: {log.read_text('utf-8')}")
                time.sleep(0.1)
            yield process
        finally:
            process.terminate()
            process.wait(timeout=15)

    def measure(self, process: subprocess.Popen[str], workers: int, seconds: int) -> dict[str, Any]:
        """One run of the load generator."""
        command = [
            str(self.binary), "-mode", "acme", "-dir", f"https://127.0.0.1:{self.port}/acme/acme/directory",
            "-ca", str(self.home / "certs/root_ca.crt"), "-solver", f"127.0.0.1:{self.solver}",
            "-workers", str(workers), "-names", str(NAMES), "-name-start", "0",
            "-duration", f"{seconds}s", "-pid", str(process.pid),
            "-db", str(self.home / "db"),
        ]  # fmt: skip
        result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if result.returncode != 0:
            sys.exit(
                f"error: the load generator ended with {result.returncode}: {result.stdout[-2000:]}{result.stderr}"
            )
        figures: dict[str, Any] = json.loads(result.stdout)
        return figures


def show(workers: int, runs: list[dict[str, Any]]) -> None:
    """One line: median and range."""
    rates = sorted(run["ops_per_server_cpu_s"] for run in runs)
    wall = statistics.median(run["ops_per_s"] for run in runs)
    p99 = statistics.median(run["steps"]["total"]["p99_ms"] for run in runs)
    busy = statistics.median(run["system"]["others_busy_s"] for run in runs)
    errors = sum(sum(run["errors"].values()) if isinstance(run["errors"], dict) else 0 for run in runs)
    print(
        f"{workers:3d} clients: {statistics.median(rates):7.0f} certificates per server-CPU-second "
        f"({rates[0]:.0f} to {rates[-1]:.0f}), {wall:.0f}/s, p99 {p99:.1f} ms, errors {errors}, "
        f"others_busy_s {busy:.1f}"
    )


def main() -> None:
    """Run, print, and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--acmeload", type=Path, default=ROOT.parent / "shared/bench/acmeload")
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 8, 32, 64])
    options = parser.parse_args()
    found: dict[str, list[dict[str, Any]]] = {}
    with ExitStack() as stack:
        where = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dayfly-bench-")))
        bench = Bench(where, build(options.acmeload.resolve(), where))
        for workers in options.workers:
            with bench.server() as process:
                runs = [bench.measure(process, workers, options.seconds) for _ in range(options.repeat)]
            found[str(workers)] = runs
            show(workers, runs)
    RESULTS.mkdir(exist_ok=True)
    target = RESULTS / f"{time.strftime('%Y%m%dT%H%M%S')}.json"
    target.write_text(json.dumps(found, indent=1), "utf-8")
    print(f"all figures: {target.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
