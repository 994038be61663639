"""The load generator: built outside its source, run against one server at a time."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from space import NAMES


@dataclass(frozen=True)
class Target:
    """A running server as the load generator has to know it."""

    pid: int
    directory: str
    ca: Path
    database: Path | None = None
    base: str = ""
    jwk: Path | None = None
    provisioner: str = ""
    extra: tuple[str, ...] = ()


class LoadFailed(Exception):
    """The load generator could not do its work; the text is its own."""


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


def run(
    binary: Path, target: Target, *, mode: str, workers: int, seconds: float, extra: Sequence[str] = ()
) -> dict[str, Any]:
    """One run, its figures; LoadFailed."""
    command = [
        str(binary), "-mode", mode, "-ca", str(target.ca), "-pid", str(target.pid), "-workers", str(workers),
        "-duration", f"{seconds}s", "-dir", target.directory, "-solver", "127.0.0.1:80",
        "-names", str(NAMES), "-name-start", "0", *target.extra, *extra,
    ]  # fmt: skip
    if target.database is not None:
        command += ["-db", str(target.database)]
    if mode in {"sign", "renew"}:
        command += ["-base", target.base, "-jwk", str(target.jwk), "-provisioner", target.provisioner]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds + 120)  # noqa: S603
    if done.returncode != 0:
        raise LoadFailed(f"{mode} at {workers} clients ended with {done.returncode}: {_reason(done)}")
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    try:
        errors = json.loads(done.stdout)["errors"]
    except (ValueError, KeyError):
        return (done.stderr or done.stdout).strip()[-500:]
    return f"{errors} {done.stderr.strip()[-300:]}"
