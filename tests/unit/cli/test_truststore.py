"""The host's trust store: one file for each root, and the distribution's own program makes the bundle."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from dayfly.cli.truststore import TrustStore, find_trust_store, install_anchor, uninstall_anchor
from dayfly.core.x509.pem import parse_pem_certificates
from dayfly.errors import UsageError
from small_pki import PKI


def store_in(where: Path, *, script: str = 'cat "$0"/../anchors/*.crt > "$0"/../bundle') -> TrustStore:
    """A store whose program is a shell script that bundles all anchors, as the distributions' do."""
    anchors, program = where / "anchors", where / "update"
    anchors.mkdir()
    program.write_text("#!/bin/sh\n" + script.replace('"$0"/..', str(where)) + "\n")
    program.chmod(0o755)
    return TrustStore(anchors, ".crt", (str(program),))


def test_installed_root_is_in_the_bundle_once_however_often(tmp_path: Path) -> None:
    """A second install of the same root is the same file."""
    store, root = store_in(tmp_path), PKI().root
    first, second = install_anchor(root, store), install_anchor(root, store)
    assert first == second
    assert [path.name for path in store.anchors.iterdir()] == [first.name]
    assert first.name.startswith("dayfly-Test-Root-CA-")
    assert parse_pem_certificates((tmp_path / "bundle").read_text()) == (root,)


def test_uninstalled_root_is_gone_whatever_name_it_had(tmp_path: Path) -> None:
    """The content says which file it is; other anchors stay, and a second uninstall is refused."""
    store = store_in(tmp_path, script="true")
    root, other = PKI().root, PKI().root
    install_anchor(root, store, prefix="corp")
    kept = install_anchor(other, store)
    (store.anchors / "broken.crt").write_text("not PEM")
    assert [path.name.startswith("corp-") for path in uninstall_anchor(root, store)] == [True]
    assert sorted(path.name for path in store.anchors.iterdir()) == sorted(["broken.crt", kept.name])
    with pytest.raises(UsageError, match="not among the files"):
        uninstall_anchor(root, store)


def test_leaf_is_never_installed(tmp_path: Path) -> None:
    """Trust is for CAs."""
    store, leaf = store_in(tmp_path), PKI().leaf().public_bytes(Encoding.DER)
    with pytest.raises(UsageError, match="not a CA's certificate"):
        install_anchor(leaf, store)
    assert list(store.anchors.iterdir()) == []


@pytest.mark.parametrize(
    ("script", "says"), [("echo it broke >&2; exit 3", r"\(exit 3\): it broke"), ("exit 4", "no reason")]
)
def test_what_the_program_refuses_is_taken_back(tmp_path: Path, script: str, says: str) -> None:
    """A failed update leaves no anchor behind, and says what the program said last."""
    store, root = store_in(tmp_path, script=script), PKI().root
    with pytest.raises(UsageError, match=says):
        install_anchor(root, store)
    assert list(store.anchors.iterdir()) == []


def test_host_without_a_known_store_is_told_so(tmp_path: Path) -> None:
    """Neither a missing directory nor a missing program is a store."""
    there = store_in(tmp_path)
    gone = TrustStore(tmp_path / "absent", ".crt", there.update)
    unmade = TrustStore(there.anchors, ".crt", ("dayfly-no-such-program",))
    assert find_trust_store((gone, unmade, there)) == there
    with pytest.raises(UsageError, match="no system trust store"):
        find_trust_store((gone, unmade))
    with pytest.raises(UsageError, match="is not installed"):
        install_anchor(PKI().root, unmade)


def test_store_of_somebody_else_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next step is to be root, who may write everywhere."""
    store = store_in(tmp_path)
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(UsageError) as caught:
        install_anchor(PKI().root, store)
    assert "as root" in caught.value.hint
    assert list(store.anchors.iterdir()) == []
