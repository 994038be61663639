"""The page about name rules is run as it stands, against a running CA."""

from __future__ import annotations

import json
from pathlib import Path

from ca_world import running
from docs.test_tutorial import scripts, shell

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "allow-a-name.md"


def test_every_command_about_names_works_as_written(tmp_path: Path) -> None:
    """The denied name is listed, allowed by its id, and issued to the client's next try; rules come and go."""
    text = PAGE.read_text("utf-8").replace("internal-acme", "acme")
    listing, allowing, naming, making, trying, changing, suggesting, removing, stepping = scripts(text)
    name = "shop.corp.example.net"
    with running(tmp_path, hosts=(name,)) as ca:
        here = f"export DAYFLY_HOME={ca.home}\n"
        refused = json.loads(ca.certificate(name, tmp_path, "--json", check=False).stdout)
        assert refused["denial"] in shell(here + listing, tmp_path).stdout
        shell(here + allowing.replace("4F2A", refused["denial"]), tmp_path)
        told = shell(here + naming.replace("4F2A", refused["denial"]), tmp_path)
        assert f"{name} is allowed by rule r3 by now" in told.stderr
        ca.certificate(name, tmp_path)
        shown = shell(here + making, tmp_path).stdout
        assert {line.split()[0] for line in shown.splitlines()} == {"RULE", *(f"r{one}" for one in range(1, 11))}
        assert "Result: allowed." in shell(here + trying, tmp_path).stdout
        assert "Nothing that was asked for" in shell(here + changing, tmp_path).stderr
        assert "Nothing that was asked for" in shell(here + suggesting, tmp_path).stderr
        shell(here + removing, tmp_path)
        assert "r4 " not in shell(here + "dayfly ca policy show", tmp_path).stdout
        assert '"*.shop.example.net"' in shell(here + stepping, tmp_path).stdout
