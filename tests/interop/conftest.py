"""The laboratory that all recipes share, and the table that a run prints at its end."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from interop.lab import Lab, laboratory
from interop.programs import web_root
from interop.table import Row, merged, plain

ROWS: dict[str, Row] = {}
LABS = {"plain": "", "chaos": "\n[chaos]\n", "chaos without bad nonces": "\n[chaos]\nbad_nonces = 0.0\n"}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A recipe that is marked `chaos` runs in chaos mode too: by make interop, and in every run with `always`."""
    if "lab" in metafunc.fixturenames:
        mark = metafunc.definition.get_closest_marker("chaos")
        also = mark is not None and (os.environ.get("DAYFLY_INTEROP") == "all" or mark.kwargs.get("always"))
        kinds = ["plain", *(mark.args or ("chaos",))] if mark is not None and also else ["plain"]
        metafunc.parametrize("lab", kinds, indirect=True, scope="session")


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A CA and a name server that run for all recipes."""
    with laboratory(tmp_path_factory.mktemp("interop"), chaos=LABS[request.param]) as one:
        yield one


@pytest.fixture
def acme_files(lab: Lab, tmp_path: Path) -> Iterator[Path]:
    """The folder of a web server that answers http-01."""
    folder = tmp_path / "www" / ".well-known" / "acme-challenge"
    folder.mkdir(parents=True)
    with web_root(tmp_path / "www", lab.ca.http_port):
        yield folder


@pytest.fixture
def apache_folder() -> Iterator[Path]:
    """A folder that the user whom Apache runs as can reach, as pytest's own are not."""
    where = Path(tempfile.mkdtemp(prefix="dayfly-apache-"))
    if os.geteuid() == 0:
        user = pwd.getpwnam("www-data")
        os.chown(where, user.pw_uid, user.pw_gid)
    yield where
    shutil.rmtree(where)


@pytest.fixture
def client(program: Callable[..., str]) -> Callable[..., str]:
    """A stock client's program, as `program` gives it; its package's version goes into the table."""

    def get(name: str, package: str | None = None, *, title: str | None = None) -> str:
        path = program(name, package)
        found = subprocess.run(  # no package, no version: the program may come from elsewhere
            [shutil.which("dpkg-query") or "false", "--show", "--showformat", "${Version}", package or name],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        version = found.stdout.rpartition(":")[2].rpartition("-")[0]  # without Debian's epoch and revision
        ROWS.setdefault(title or name, Row(title or name, f"{version} (Debian)" if version else "unknown"))
        return path

    return get


@pytest.fixture
def rows() -> dict[str, Row]:
    """The table so far, by client."""
    return ROWS


@pytest.fixture
def saw(lab: Lab) -> Callable[..., None]:
    """Notes in the table what a client was seen doing; called when that has been checked, and not before."""

    def note(client: str, *deeds: str, version: str | None = None) -> None:
        row = ROWS.setdefault(client, Row(client, version or "unknown"))
        row.done.update(("chaos",) if lab.chaos else deeds)

    return note


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table of clients; also into the file that DAYFLY_INTEROP_TABLE names."""
    rows = sorted(ROWS.values(), key=lambda row: row.client.lower())
    if rows:
        terminalreporter.write_line("")
        for line in plain(rows):
            terminalreporter.write_line(line)
    if rows and (path := os.environ.get("DAYFLY_INTEROP_TABLE")):
        page = Path(path)
        page.write_text(merged(page.read_text("utf-8"), rows), "utf-8")
