"""`dayfly certificate install` and `uninstall` on a trust store of our own (step-compat.md 14)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from dayfly.cli.main import run
from dayfly.cli.truststore import TrustStore
from dayfly.core.x509.pem import parse_pem_certificates, render_pem
from small_pki import PKI

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A trust store whose program bundles all anchors; root, leaf and both in files beside it."""
    (tmp_path / "anchors").mkdir()
    program = tmp_path / "update"
    program.write_text(
        f"#!/bin/sh\ncat {tmp_path}/anchors/*.crt > {tmp_path}/bundle 2>/dev/null || : > {tmp_path}/bundle\n"
    )
    program.chmod(0o755)
    store = TrustStore(tmp_path / "anchors", ".crt", (str(program),))
    monkeypatch.setattr("dayfly.cli.certificate.install.find_trust_store", lambda: store)
    pki = PKI()
    root, leaf = render_pem(pki.root), render_pem(pki.leaf().public_bytes(Encoding.DER))
    (tmp_path / "root.crt").write_text(root)
    (tmp_path / "leaf.crt").write_text(leaf)
    (tmp_path / "both.crt").write_text(root + leaf)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "bundle"


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `dayfly certificate`: exit code, standard output, standard error."""

    def run_it(*arguments: str) -> tuple[int, str, str]:
        code = run(["certificate", *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run_it


def test_root_is_installed_and_removed_with_steps_lines__step_14(bundle: Path, call: Run) -> None:
    """Into the bundle and out of it; the certificate is shown as it was."""
    code, output, _ = call("install", "root.crt", "--prefix", "Corp X")
    assert (code, output.splitlines()[0]) == (0, "Certificate root.crt has been installed.")
    assert "X.509v3 Root CA Certificate" in output
    assert parse_pem_certificates(bundle.read_text()) == parse_pem_certificates(Path("root.crt").read_text())
    assert next(Path("anchors").iterdir()).name.startswith("Corp-X-")
    code, output, _ = call("uninstall", "root.crt")
    assert (code, output.splitlines()[0]) == (0, "Certificate root.crt has been removed.")
    assert bundle.read_text() == ""
    assert call("uninstall", "root.crt")[0] == 1


def test_json_names_the_files(bundle: Path, call: Run) -> None:
    """What was written, and what went."""
    (installed,) = json.loads(call("install", "root.crt", "--json")[1])["installed"]
    assert json.loads(call("uninstall", "root.crt", "--json")[1])["removed"] == [installed]
    assert bundle.exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("leaf.crt",), "is not a root certificate"),
        (("both.crt",), "is not a root certificate"),
        (("absent.crt",), "there is no file"),
        (("root.crt", "--prefix", "../../etc"), "cannot begin a file's name"),
        (("root.crt", "--java"), "--java is not taken"),
        (("root.crt", "--firefox"), "--firefox is not taken"),
        (("root.crt", "--all"), "--all is not taken"),
        (("root.crt", "--no-system"), "--no-system is not taken"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_what_is_no_root_or_no_store_of_ours_is_refused(
    bundle: Path, call: Run, arguments: tuple[str, ...], says: str
) -> None:
    """Nothing is installed in part."""
    code, output, errors = call("install", *arguments)
    assert (code, output) == (1, "")
    assert says in errors
    assert not bundle.exists()
