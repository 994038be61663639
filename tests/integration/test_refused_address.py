"""An address that may not be dialled, as client and operator of a real CA see it (acme.md V10, part 8)."""

from __future__ import annotations

import json
from pathlib import Path

from ca_world import NAME, found


def test_client_hears_that_and_operator_hears_what_would_open_it__v10(tmp_path: Path) -> None:
    """The client's error names no address; the CA's log has it, with the line for ca.toml, and nobody was dialled."""
    ca = found(tmp_path)
    toml = ca.home / "ca.toml"
    toml.write_text(toml.read_text().replace('allow = ["127.0.0.0/8"]', "allow = []"))
    ca.start()
    try:
        refused = ca.certificate(NAME, tmp_path, check=False)
    finally:
        ca.stop()
    assert refused.returncode == 1
    assert "leads to an address that this CA may not dial: it is a loopback address" in refused.stderr
    said = [json.loads(line) for line in ca.log.read_text().splitlines() if '"challenge failed"' in line]
    assert [one["note"] for one in said] == [
        'refused 127.0.0.1; to open its network: [validation] allow = ["127.0.0.0/8"] in ca.toml'
    ]
    assert said[0]["problem"] == "connection"
