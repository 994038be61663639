"""`dayfly agent run --once --json`: how the certificates stand, for a program."""

from __future__ import annotations

import json
import socket
from pathlib import Path

from ca_world import dayfly
from small_pki import PKI


def test_one_pass_tells_how_the_certificates_stand__interfaces_1(tmp_path: Path) -> None:
    """The objects of `agent status --json` beside the exit code, with a CA whose port is bound and never answers."""
    (tmp_path / "www").mkdir()
    (tmp_path / "root_ca.crt").write_text(PKI().root_pem)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        (tmp_path / "agent.toml").write_text(
            f'[ca]\ndirectory = "https://127.0.0.1:{closed.getsockname()[1]}/acme/acme/directory"\n'
            'root = "root_ca.crt"\n[cert.api]\nnames = ["api.internal.example"]\n'
            '[cert.api.challenge]\ntype = "http-01"\nwebroot = "www"\n'
        )
        said = dayfly("agent", "run", "--once", "--json", "--home", str(tmp_path), home=tmp_path, check=False)
    told = json.loads(said.stdout)
    assert (said.returncode, told["exit"]) == (4, 4), said.stderr
    assert [one["name"] for one in told["certificates"]] == ["api"]
