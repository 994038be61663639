"""A host becomes a client of a CA: bootstrap, roots, health, and what each mistake says (step-compat.md part 14)."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ca_world import CA, dayfly, running
from dayfly.cli.truststore import TrustStore, install_anchor, uninstall_anchor
from dayfly.core.x509.pem import parse_pem_certificates
from small_pki import PKI


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CA]:
    """A CA that runs for this module's tests."""
    with running(tmp_path_factory.mktemp("ca")) as one:
        yield one


def bootstrap(ca: CA, where: Path, *extra: str, check: bool = True) -> str:
    """`ca bootstrap` of a host whose user lives in `where`; what it said."""
    fingerprint = ca.init["fingerprint"]
    arguments = ("ca", "bootstrap", "--ca-url", ca.url, "--fingerprint", fingerprint)
    return dayfly(*arguments, *extra, check=check, home=where).stderr


def test_bootstrap_writes_the_two_files_and_says_steps_lines(ca: CA, tmp_path: Path) -> None:
    """After it no command needs --ca-url, --root or --fingerprint."""
    home = tmp_path / ".dayfly"
    assert bootstrap(ca, tmp_path).splitlines() == [
        f"The root certificate has been saved in {home}/certs/root_ca.crt.",
        f"The authority configuration has been saved in {home}/config/defaults.json.",
    ]
    assert (home / "certs/root_ca.crt").read_bytes() == ca.root.read_bytes()
    assert json.loads((home / "config/defaults.json").read_text()) == {
        "ca-url": ca.url, "fingerprint": ca.init["fingerprint"], "root": f"{home}/certs/root_ca.crt",
    }  # fmt: skip
    assert stat.S_IMODE(home.stat().st_mode) & 0o022 == 0
    assert dayfly("ca", "health", home=tmp_path).stdout == "ok\n"
    assert dayfly("ca", "root", home=tmp_path).stdout == ca.root.read_text()
    assert dayfly("ca", "roots", home=tmp_path).stdout == ca.root.read_text()
    assert dayfly("ca", "federation", home=tmp_path).stdout == ca.root.read_text()


def test_second_bootstrap_overwrites_only_when_forced__interfaces_7(ca: CA, tmp_path: Path) -> None:
    """Off a terminal the error names --force, and the files stay as they are."""
    bootstrap(ca, tmp_path)
    root = tmp_path / ".dayfly/certs/root_ca.crt"
    root.write_text("mine")
    assert "--force" in bootstrap(ca, tmp_path, check=False)
    assert root.read_text() == "mine"
    bootstrap(ca, tmp_path, "--force")
    assert root.read_bytes() == ca.root.read_bytes()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"fingerprint": "0" * 64}, "no root certificate has this fingerprint"),
        ({"fingerprint": "abc"}, "a fingerprint has 64 hex digits"),
        ({"fingerprint": ""}, "--fingerprint is missing"),
        ({"ca_url": ""}, "--ca-url is missing"),
        ({"ca_url": "http://127.0.0.1:1"}, "no plain https URL"),
        ({"ca_url": "https://127.0.0.1:1"}, "connection refused"),
    ],
)
def test_bootstrap_that_cannot_work_writes_nothing(ca: CA, tmp_path: Path, change: dict[str, str], says: str) -> None:
    """The fingerprint decides; without it nothing is trusted."""
    values = {"ca_url": ca.url, "fingerprint": ca.init["fingerprint"]} | change
    flags = [part for name, value in values.items() if value for part in (f"--{name.replace('_', '-')}", value)]
    result = dayfly("ca", "bootstrap", *flags, check=False, home=tmp_path)
    assert (result.returncode, says in result.stderr) == (1, True), result.stderr
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_bootstrap_never_touches_the_home_of_a_ca(ca: CA) -> None:
    """A CA knows its own root; a client gets a home of its own."""
    said = bootstrap(ca, ca.home.parent, "--home", str(ca.home), "--force", check=False)
    assert "is the home of a CA" in said


def test_bundles_are_saved_with_steps_lines_and_as_json(ca: CA, tmp_path: Path) -> None:
    """A file, or data on standard output."""
    bootstrap(ca, tmp_path)
    file = tmp_path / "roots.pem"
    assert dayfly("ca", "roots", str(file), home=tmp_path).stderr == (
        f"The root certificate bundle has been saved in {file}.\n"
    )
    assert file.read_bytes() == ca.root.read_bytes()
    shown = json.loads(dayfly("ca", "federation", "--json", home=tmp_path).stdout)
    assert shown == {"certificates": [ca.root.read_text()], "file": None}
    again = dayfly("ca", "roots", str(file), check=False, home=tmp_path)
    assert (again.returncode, "--force" in again.stderr) == (1, True)


def test_debians_own_program_takes_the_root_and_gives_it_back(
    ca: CA, tmp_path: Path, program: Callable[..., str]
) -> None:
    """`--install` ends in update-ca-certificates; here with directories of its own, so that the host stays as it is."""
    store, bundle = private_store(tmp_path, program("update-ca-certificates", "ca-certificates"))
    (root,) = parse_pem_certificates(ca.root.read_text())
    install_anchor(PKI().root, store, prefix="other")
    path = install_anchor(root, store)
    assert root in parse_pem_certificates((bundle / "ca-certificates.crt").read_text())
    assert path.with_suffix(".pem").name in {one.name for one in bundle.iterdir()}
    assert uninstall_anchor(root, store) == (path,)
    assert root not in parse_pem_certificates((bundle / "ca-certificates.crt").read_text())
    assert path.with_suffix(".pem").name not in {one.name for one in bundle.iterdir()}


def private_store(where: Path, update: str) -> tuple[TrustStore, Path]:
    """A store as Debian has it, in directories of its own, and where its bundle lies."""
    flags = []
    for flag, name in (("local", "anchors"), ("etc", "etc"), ("", "distribution")):
        (where / name).mkdir()
        flags += [f"--{flag}certsdir", str(where / name)]
    (where / "hooks").mkdir()
    (where / "ca-certificates.conf").touch()
    flags += ["--hooksdir", str(where / "hooks"), "--certsconf", str(where / "ca-certificates.conf")]
    return TrustStore(where / "anchors", ".crt", (update, *flags), ("--fresh",)), where / "etc"


def test_install_on_a_host_that_we_do_not_know_is_refused_before_anything_is_asked(
    ca: CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clear word, and nothing written."""
    from dayfly.cli import ca_bootstrap, main

    def none_known() -> TrustStore:
        from dayfly.cli.truststore import find_trust_store

        return find_trust_store(())

    monkeypatch.setattr(ca_bootstrap, "find_trust_store", none_known)
    monkeypatch.setitem(os.environ, "HOME", str(tmp_path))
    arguments = ["ca", "bootstrap", "--ca-url", ca.url, "--fingerprint", ca.init["fingerprint"], "--install"]
    assert main.run([*arguments, "--home", str(tmp_path / "h")]) == 1
    assert not (tmp_path / "h").exists()
