"""`dayfly certificate` on what a server shows: looked at by all, believed by none without roots that vouch for it."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ca_world import CA, dayfly, running


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CA]:
    """A CA that runs: its own listener is the server that is looked at."""
    with running(tmp_path_factory.mktemp("ca")) as one:
        yield one


def test_chain_comes_whole_and_is_judged_by_name_and_roots(ca: CA, tmp_path: Path) -> None:
    """Leaf and intermediate as they were sent; the URL's host is the name, another one is refused."""
    shown = json.loads(dayfly("certificate", "inspect", ca.url, "--bundle", "--json", home=tmp_path).stdout)
    assert [one["is_ca"] for one in shown] == [False, True]
    roots = ("--roots", str(ca.root))
    dayfly("certificate", "verify", ca.url, *roots, home=tmp_path)
    dayfly("certificate", "verify", ca.url, *roots, "--host", "ca.internal.example", home=tmp_path)
    wrong = dayfly("certificate", "verify", ca.url, *roots, "--host", "b.example", check=False, home=tmp_path)
    assert (wrong.returncode, "is not for b.example" in wrong.stderr) == (1, True)


def test_needs_renewal_believes_a_server_under_its_roots_alone(ca: CA, tmp_path: Path) -> None:
    """Vouched for: 0 or 1 by the threshold; under other roots 255, whatever the dates say."""
    roots = ("--roots", str(ca.root))
    asked = ("certificate", "needs-renewal", ca.url)
    assert dayfly(*asked, *roots, check=False, home=tmp_path).returncode == 1
    assert dayfly(*asked, *roots, "--expires-in", "9999h", home=tmp_path).returncode == 0
    stranger = dayfly(*asked, "--expires-in", "9999h", check=False, home=tmp_path)
    assert stranger.returncode == 255
    assert "system's roots" in stranger.stderr or "no bundle of system roots" in stranger.stderr


def test_place_without_tls_is_told(tmp_path: Path) -> None:
    """Nobody there, or somebody who speaks something else: one line, and the exit code of an error."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        listener.listen(0)
        listener.shutdown(socket.SHUT_RDWR)
        for verb, code in (("inspect", 1), ("verify", 1), ("needs-renewal", 255)):
            refused = dayfly("certificate", verb, url, check=False, home=tmp_path)
            assert (refused.returncode, "shows no certificate" in refused.stderr) == (code, True)
