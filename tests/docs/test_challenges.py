"""The page about challenges is run as it stands."""

from __future__ import annotations

from pathlib import Path

from ca_world import dayfly
from docs.test_tutorial import scripts, shell

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "challenges.md"


def test_look_from_the_cas_seat_says_what_the_page_shows(tmp_path: Path) -> None:
    """The name leads to loopback: the hops, the result, and the line to write, word for word but for the times."""
    home = tmp_path / "dayfly-tutorial"
    dayfly(
        "ca", "init", "--home", str(home), "--name", "Internal CA", "--dns", "ca.internal.example", "--no-password",
        "--address", "127.0.0.1:9000", "--provisioner", "platform-team", home=tmp_path,
    )  # fmt: skip
    toml = home / "ca.toml"
    toml.write_text(toml.read_text() + '\n[validation]\nhosts = { "web.internal.example" = "127.0.0.1" }\n')
    text = PAGE.read_text("utf-8")
    (command,) = scripts(text)
    said = shell(command, tmp_path, check=False)
    shown = "http-01" + text.partition("```text\nhttp-01")[2].partition("```")[0]
    assert said.returncode == 1
    assert [line.partition("s  ")[2] or line for line in said.stdout.splitlines()] == [
        line.partition("s  ")[2] or line for line in shown.splitlines()
    ]
