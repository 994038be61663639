"""The tutorial's commands are run as they stand, with other ports."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from ca_world import environment, free_ports

PAGE = Path(__file__).parents[2] / "docs" / "tutorials" / "first-certificate.md"


def scripts(text: str) -> list[str]:
    """The shell blocks of a page, in order."""
    return re.findall(r"```sh\n(.*?)```", text, re.DOTALL)


def shell(script: str, where: Path, *, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a block as a reader would paste it."""
    variables = environment(where) | {"DAYFLY_HOME": str(where / "dayfly-tutorial"), "HOME": str(where)}
    variables["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{variables['PATH']}"
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=where, env=variables, capture_output=True, text=True, timeout=60, check=check, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def test_tutorial_works_as_written(tmp_path: Path) -> None:
    """Every block runs; the denied name is denied, and the log verifies at the end."""
    ca, challenge, metrics = free_ports(3)
    text = PAGE.read_text("utf-8").replace("127.0.0.1:9000", f"127.0.0.1:{ca}").replace("5002", str(challenge))
    init, settings, start, certificate, denied, log = scripts(text)
    shell(init, tmp_path)
    shell(settings, tmp_path)
    toml = tmp_path / "dayfly-tutorial" / "ca.toml"
    toml.write_text(toml.read_text().replace("127.0.0.1:9180", f"127.0.0.1:{metrics}"))
    variables = environment(tmp_path) | {"DAYFLY_HOME": str(tmp_path / "dayfly-tutorial")}
    with (tmp_path / "ca.log").open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", *start.split()], cwd=tmp_path, env=variables, stderr=output, stdin=subprocess.DEVNULL
        )
    try:
        deadline = time.monotonic() + 30
        while '"event":"ready"' not in (tmp_path / "ca.log").read_text():
            assert server.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        shown = shell(certificate, tmp_path).stdout
        assert "api.internal.example" in shown
        refused = shell(denied, tmp_path, check=False)
        assert refused.returncode == 1
        assert "default-deny" in refused.stderr
        assert "verifies" in shell(log, tmp_path).stderr
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=15) == 0
