"""The main job, as `make demo` shows it: real processes, two served renewals, a broken reload that is noticed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ca_world import environment


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_demo_shows_what_it_promises(tmp_path: Path) -> None:
    """It ends by itself with 0 in under three minutes, after renewals seen served, and leaves nothing behind."""
    result = subprocess.run(
        [sys.executable, "-m", "dayfly", "demo", "--lifetime", "30"],
        env=environment(tmp_path) | {"TMPDIR": str(tmp_path)}, capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    for line in (
        "SEEN SERVED",
        "renewal 1: served",
        "renewal 2: served",
        "Dayfly notices: degraded: reload ran",
        "healed:",
        "an independent TLS connection that trusts the root alone gets",
        "denied, as it should be: rule default-deny; nearest that would be allowed: shop.internal.example",
        "the log verifies:",
        "1 remaining life",
        "2 last renewal",
        "3 renewal error rate",
        "4 CA availability",
        "5 volume, failures",
    ):
        assert line in result.stdout, line
    assert "\033" not in result.stdout
    assert list(tmp_path.glob("dayfly-demo-*")) == []
