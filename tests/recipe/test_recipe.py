"""The recipe as `make recipe` plays it, word for word, in network namespaces of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from recipe.machines import API, CA, machines, why_not
from recipe.story import Deviation, Kitchen, need, play_at_terminal, play_without_terminal
from recipe.terminal import Staying, run_at_terminal, run_plain


@pytest.fixture(autouse=True)
def namespaces(program: Callable[..., str]) -> None:
    """Where no namespace can be made, the tests say why and are skipped."""
    program("ip", "iproute2")
    program("openssl")
    if why := why_not():
        pytest.skip(why)


@pytest.mark.slow
def test_recipe_works_word_for_word_at_a_terminal(tmp_path: Path) -> None:
    """One machine, real port 80, real names, answers typed at the prompts."""
    play_at_terminal(tmp_path, show)


@pytest.mark.slow
def test_recipe_works_word_for_word_without_a_terminal(tmp_path: Path) -> None:
    """Two machines and DAYFLY_PASSWORD_FILE: the same lines, and no question."""
    play_without_terminal(tmp_path, show)


def show(line: str) -> None:
    """What pytest shows when it fails."""
    sys.stdout.write(line + "\n")


# --- a recipe that can fail -------------------------------------------------------------------------------------------


def test_machines_have_names_a_cable_and_nobody_else(tmp_path: Path) -> None:
    """Each reaches the other by its name; a name of the world is not found; at the end nothing is left."""
    with machines(tmp_path, {"ca": (CA,), "api": (API,)}) as (one, other):
        kitchen = Kitchen(one, other, show, at_terminal=False)
        ask = f"{sys.executable} -c 'import socket; print(socket.gethostbyname(\"{CA}\"))'"
        assert kitchen.say(ask, other).stdout.strip() == one.address
        world = f"{sys.executable} -c 'import socket; socket.getaddrinfo(\"example.com\", 80)'"
        with pytest.raises(Deviation, match="ended with 1"):
            kitchen.say(world, other)
        namespace = one.namespace
    assert not Path("/run/netns", namespace).exists()
    assert not Path("/etc/netns", namespace).exists()


def test_deviation_ends_the_recipe(tmp_path: Path) -> None:
    """A line that ends otherwise than promised is a deviation that says so."""
    with machines(tmp_path, {"host": (CA, API)}) as (one,):
        kitchen = Kitchen(one, one, show, at_terminal=True)
        with pytest.raises(Deviation, match="ended with 1, not 0"):
            kitchen.say("dayfly ca provisioner add internal-acme --type ACME", one)
        with pytest.raises(Deviation, match="did not ask"):
            kitchen.say("true", one, answers=[("never:", "x")])
    with pytest.raises(Deviation, match="so it is"):
        need(False, "so it is")  # noqa: FBT003 - the thing that must be true


def test_terminal_is_one_and_types_what_is_asked_for(tmp_path: Path) -> None:
    """A child has a controlling terminal, hears the answer, and its status comes back; without one it has none."""
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    script = "import getpass, sys; print(getpass.getpass('Secret:') + '!'); sys.exit(7)"
    outcome = run_at_terminal([sys.executable, "-c", script], environment, [("Secret:", "typed")])
    assert (outcome.status, outcome.text.split()) == (7, ["Secret:", "typed!"])
    plain = run_plain([sys.executable, "-c", "import sys; print(sys.stdin.isatty())"], environment)
    assert (plain.status, plain.stdout) == (0, "False\n")


def test_staying_process_is_heard_and_ended(tmp_path: Path) -> None:
    """What it says arrives; SIGTERM ends it, and the status is its own."""
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    script = (
        "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(3)); "
        "print('ready', file=sys.stderr, flush=True); time.sleep(30)"
    )
    for staying in (
        Staying.plain([sys.executable, "-c", script], environment),
        Staying.at_terminal([sys.executable, "-c", script], environment, ()),
    ):
        assert staying.wait_for(lambda text: "ready" in text)
        assert staying.end() == 3
