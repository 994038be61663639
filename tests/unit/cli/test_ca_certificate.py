"""`ca certificate`, `ca sign` and `ca revoke` by token: what is asked, what is believed, what is written."""

from __future__ import annotations

import hashlib
import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from dayfly.cli import given_token, main
from dayfly.cli.requesting import common_name_of, make_csr, names_of
from dayfly.core.x509.pem import render_pem
from factories import NAME, csr_der, ec_key
from small_pki import PKI, write_pair
from step_ca import URL, StepCA, connect_to, real_now, refusal


@pytest.fixture
def ca(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StepCA:
    """A CA in memory, with a JWK and an ACME provisioner."""
    made = StepCA()
    connect_to(made, monkeypatch, tmp_path)
    return made


def run(where: Path, verb: str, *arguments: str) -> int:
    """A verb against the CA in memory."""
    flags = ("--ca-url", URL, "--root", str(where / "root.pem"), "--provisioner", "team")
    return main.run(["ca", verb, *arguments, *flags, "--password-file", str(where / "provisioner-password")])


def pair(where: Path) -> tuple[str, str]:
    """The two arguments."""
    return str(where / "a.crt"), str(where / "a.key")


def token(where: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """A token that somebody else made."""
    assert run(where, "token", *arguments) == 0
    return capsys.readouterr().out.strip()


def test_certificate_by_token_writes_the_pair_and_steps_lines(
    ca: StepCA, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Provisioner, CA, Certificate, Private Key; the key is 0600 and the certificate's own."""
    crt, key = pair(tmp_path)
    assert run(tmp_path, "certificate", NAME, crt, key, "--not-after", "30m") == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        f"✔ Provisioner: team (JWK) [kid: {ca.kid}]", f"✔ CA: {URL}", f"✔ Certificate: {crt}", f"✔ Private Key: {key}",
    ]  # fmt: skip
    leaf = x509.load_pem_x509_certificate(Path(crt).read_bytes())
    assert load_pem_private_key(Path(key).read_bytes(), None).public_key() == leaf.public_key()
    assert Path(key).stat().st_mode & 0o777 == 0o600
    assert Path(crt).read_text().count("BEGIN CERTIFICATE") == 2


def test_token_that_is_made_here_is_good_for_this_request_alone(ca: StepCA, tmp_path: Path) -> None:
    """`cnf` binds it: who sees it on the way gains nothing by it."""
    assert run(tmp_path, "certificate", NAME, *pair(tmp_path)) == 0
    assert [one is not None for one in ca.confirmed] == [True]


def test_names_beside_the_subject_are_the_only_names__step_compat_4(ca: StepCA, tmp_path: Path) -> None:
    """As with step: --san takes the subject's place, which stays the CN."""
    crt, key = pair(tmp_path)
    assert run(tmp_path, "certificate", NAME, crt, key, "--san", "b.internal.example", "--san", "10.0.0.1") == 0
    assert {one.value for one in names_of(ca.issued[0])} == {"b.internal.example", "10.0.0.1"}
    assert common_name_of(ca.issued[0]) == NAME


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"public": ec_key().public_key()}, "another key"),
        ({"names": [NAME, "evil.example"]}, "other names"),
        ({"begin": real_now() - timedelta(hours=3)}, "expired"),
    ],
    ids=["another key", "one name more", "expired"],
)
def test_answer_that_was_not_asked_for_leaves_no_file(
    ca: StepCA, tmp_path: Path, change: dict[str, Any], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Verified first, written after (security.md 9)."""
    ca.change = lambda _: change
    crt, key = pair(tmp_path)
    assert run(tmp_path, "certificate", NAME, crt, key) == 1
    assert says in capsys.readouterr().err
    assert not Path(crt).exists()
    assert not Path(key).exists()


def test_answer_of_another_ca_is_never_written(ca: StepCA, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The pinned root decides."""
    (tmp_path / "root.pem").write_text(PKI(born=real_now()).root_pem)
    assert run(tmp_path, "certificate", NAME, *pair(tmp_path)) == 1
    assert "does not chain" in capsys.readouterr().err
    assert not Path(pair(tmp_path)[0]).exists()
    del ca


def test_denial_comes_through_with_its_fields__interfaces_6(
    ca: StepCA, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rule, owner, nearest and id, for people and programs."""
    listed = ca.answer("GET", "/provisioners?limit=100", b"", None, "")
    key = ca.answer("GET", f"/provisioners/{ca.kid}/encrypted-key", b"", None, "")
    denied = refusal(403, "no rule", rule="default-deny", nearest="a.internal.example", denial="d-7")
    ca.failures = [listed, key, denied]
    assert run(tmp_path, "certificate", "evil.example", *pair(tmp_path), "--json") == 1
    document = json.loads(capsys.readouterr().out)
    assert {name: document[name] for name in ("rule", "owner", "nearest", "denial")} == {
        "rule": "default-deny", "owner": "", "nearest": "a.internal.example", "denial": "d-7",
    }  # fmt: skip


def test_existing_file_stops_before_anything_is_asked__interfaces_7(
    ca: StepCA, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --force it is replaced."""
    crt, key = pair(tmp_path)
    Path(key).write_text("mine")
    assert run(tmp_path, "certificate", NAME, crt, key) == 1
    assert (
        f"{key} exists, and there is no terminal to ask at\nnext: overwrite it with --force" in capsys.readouterr().err
    )
    Path(crt).write_text("mine too")
    assert run(tmp_path, "certificate", NAME, crt, key) == 1
    assert f"{crt} and {key} exist, and there is no terminal to ask at\nnext: overwrite them" in capsys.readouterr().err
    assert (ca.requests, Path(key).read_text()) == ([], "mine")
    assert run(tmp_path, "certificate", NAME, crt, key, "--force", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["serial"] == str(ca.issued[0].serial_number)
    assert (document["certificate"], document["key"]) == (crt, key)


@pytest.mark.parametrize("flags", [("--ssh",), ("--principal", "root")])
def test_flags_for_ssh_are_refused_with_a_word(
    ca: StepCA, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: tuple[str, ...]
) -> None:
    """Not `no such option`."""
    assert run(tmp_path, "certificate", NAME, *pair(tmp_path), *flags) == 1
    assert "is not taken: SSH certificates are not issued here" in capsys.readouterr().err
    assert ca.requests == []


def test_place_that_cannot_be_written_stops_before_anything_is_asked(
    ca: StepCA, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No certificate is spent on a file that cannot be kept."""
    monkeypatch.setattr("os.access", lambda _, mode: mode != os.W_OK)
    assert run(tmp_path, "certificate", NAME, *pair(tmp_path)) == 1
    assert "may not write in" in capsys.readouterr().err
    assert ca.requests == []


def test_provisioner_may_come_from_the_environment(ca: StepCA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DAYFLY_PROVISIONER and DAYFLY_PROVISIONER_PASSWORD_FILE stand in for their flags."""
    monkeypatch.setenv("DAYFLY_PROVISIONER", "team")
    monkeypatch.setenv("DAYFLY_PROVISIONER_PASSWORD_FILE", str(tmp_path / "provisioner-password"))
    flags = ("--ca-url", URL, "--root", str(tmp_path / "root.pem"))
    assert main.run(["ca", "certificate", NAME, *pair(tmp_path), *flags]) == 0
    assert len(ca.issued) == 1


def test_given_token_needs_no_provisioner(ca: StepCA, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its names are those of the request, and it is sent as it is."""
    made = token(tmp_path, capsys, NAME, "--san", "b.internal.example")
    ca.requests.clear()
    assert run(tmp_path, "certificate", NAME, *pair(tmp_path), "--token", made) == 0
    assert [path for _, path in ca.requests] == ["/sign"]
    assert [one.value for one in names_of(ca.issued[0])] == ["b.internal.example"]


def test_token_of_the_environment_stays_out_of_argv(
    ca: StepCA, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """DAYFLY_TOKEN is the flag without a trace in the process list."""
    monkeypatch.setenv("DAYFLY_TOKEN", token(tmp_path, capsys, NAME))
    ca.requests.clear()
    assert run(tmp_path, "certificate", NAME, *pair(tmp_path)) == 0
    assert [path for _, path in ca.requests] == ["/sign"]


def test_bare_host_takes_its_trust_from_the_token__step_compat_4(
    ca: StepCA, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """URL and root come from `aud` and `sha`, where neither flag nor home names them."""
    made = token(tmp_path, capsys, NAME)
    asked: list[tuple[str, str]] = []

    def fetch(url: str, fingerprint: str) -> str:
        asked.append((url, fingerprint))
        return ca.pki.root_pem

    monkeypatch.setattr(given_token, "fetch_root", fetch)
    home = ("--home", str(tmp_path / "nothing"))
    assert main.run(["ca", "certificate", NAME, *pair(tmp_path), "--token", made, *home]) == 0
    assert asked == [(URL, hashlib.sha256(ca.pki.root).hexdigest())]
    assert f"✔ CA: {URL}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--token", "junk"), "--token is no token"),
        (("--san", "b.example"), "--san has no meaning beside --token"),
        (("--acme", "https://ca.example/directory"), "two different ways"),
    ],
)
def test_token_that_cannot_be_meant_is_refused(
    ca: StepCA, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], says: str
) -> None:
    """Before anything is asked."""
    made = token(tmp_path, capsys, NAME)
    ca.requests.clear()
    given = () if "--token" in arguments else ("--token", made)
    assert run(tmp_path, "certificate", NAME, *pair(tmp_path), *given, *arguments) == 1
    assert says in capsys.readouterr().err
    assert ca.requests == []


def test_token_for_another_subject_is_refused(ca: StepCA, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As step says it."""
    made = token(tmp_path, capsys, NAME)
    assert run(tmp_path, "certificate", "b.example", *pair(tmp_path), "--token", made) == 1
    assert f"token subject '{NAME}' and argument 'b.example' do not match" in capsys.readouterr().err
    del ca


# --- sign -------------------------------------------------------------------------------------------------------------


def test_sign_gets_a_certificate_for_the_request_that_there_is(ca: StepCA, tmp_path: Path) -> None:
    """Its names, its key; without a CN the first name is the subject."""
    key = ec_key()
    (tmp_path / "a.csr").write_text(render_pem(csr_der(NAME, "b.internal.example", key=key), "CERTIFICATE REQUEST"))
    assert run(tmp_path, "sign", str(tmp_path / "a.csr"), str(tmp_path / "a.crt")) == 0
    leaf = x509.load_pem_x509_certificate((tmp_path / "a.crt").read_bytes())
    assert leaf.public_key() == key.public_key()
    assert {one.value for one in names_of(leaf)} == {NAME, "b.internal.example"}
    assert ca.issued[0].serial_number == leaf.serial_number


def test_request_that_names_nothing_is_refused(ca: StepCA, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither CN nor names."""
    (tmp_path / "a.csr").write_bytes(make_csr((), ec_key(), common_name=None))
    assert run(tmp_path, "sign", str(tmp_path / "a.csr"), str(tmp_path / "a.crt")) == 1
    assert "names nothing" in capsys.readouterr().err
    assert ca.requests == []


# --- revoke -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("code", "number"), [("keyCompromise", 1), ("4", 4), ("Superseded", 4), ("0", 0)])
def test_revoke_by_token_says_steps_lines(
    ca: StepCA, tmp_path: Path, capsys: pytest.CaptureFixture[str], code: str, number: int
) -> None:
    """The serial in decimal, the reason by number or by name."""
    assert run(tmp_path, "revoke", "0xff", "--reasonCode", code, "--reason", "lost") == 0
    assert capsys.readouterr().err.splitlines() == [
        f"✔ Provisioner: team (JWK) [kid: {ca.kid}]", f"✔ CA: {URL}",
        "Certificate with Serial Number 255 has been revoked.",
    ]  # fmt: skip
    assert ca.revoked == {255: number}


def test_certificate_revokes_itself(ca: StepCA, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By showing itself: no token, no provisioner."""
    key = ec_key()
    files = write_pair(tmp_path, ca.pki, ca.pki.leaf(NAME, key=key, begin=real_now(), serial=77), key)
    assert run(tmp_path, "revoke", "--cert", str(files.crt), "--key", str(files.key), "--json") == 0
    assert (ca.revoked, [path for _, path in ca.requests]) == ({77: 0}, ["/revoke"])
    assert json.loads(capsys.readouterr().out)["serial"] == "77"


def test_given_revocation_token_is_sent_as_it_is(
    ca: StepCA, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It must be for this serial."""
    made = token(tmp_path, capsys, "77", "--revoke")
    assert run(tmp_path, "revoke", "78", "--token", made) == 1
    assert "do not match" in capsys.readouterr().err
    assert run(tmp_path, "revoke", "77", "--token", made) == 0
    assert ca.revoked == {77: 0}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "no serial number is given"),
        ((), "dayfly ca list on the CA's host, or dayfly certificate inspect CRT --json; or name the pair: --cert"),
        (("x",), "no serial number"),
        (("2af",), "in decimal, or as 0x and hex, as dayfly ca list prints it"),
        (("1", "--reasonCode", "certificateHold"), "for ever"),
        (("1", "--reasonCode", "8"), "for ever"),
        (("1", "--reasonCode", "bored"), "no reason code"),
        (("1", "--reasonCode", "7"), "no reason code"),
        (("--cert", "a"), "come together"),
        (("--key", "a"), "come together"),
        (("1", "--cert", "a", "--key", "b"), "neither SERIAL nor --token"),
    ],
)
def test_revocation_that_says_nothing_is_refused(
    ca: StepCA, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], says: str
) -> None:
    """Before anything is asked."""
    assert run(tmp_path, "revoke", *arguments) == 1
    assert says in capsys.readouterr().err
    assert ca.requests == []


@pytest.mark.parametrize(
    ("flags", "mode", "says"),
    [
        (("--eab-key-id", "kid"), 0o600, "go together"),
        (("--eab-key-file", "FILE"), 0o600, "go together"),
        (("--eab-key-id", "kid", "--eab-key-file", "FILE"), 0o600, "holds no external account key"),
        (("--eab-key-id", "kid", "--eab-key-file", "FILE"), 0o644, "others can read"),
    ],
)
def test_external_account_key_that_is_none_is_refused_before_an_account_is_asked_for(
    ca: StepCA, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: tuple[str, ...], mode: int, says: str
) -> None:
    """Nothing is written, and no text holds what the file holds."""
    path = tmp_path / "eab.key"
    path.write_text("not a key!")
    path.chmod(mode)
    given = [str(path) if one == "FILE" else one for one in flags]
    named = ("--ca-url", URL, "--root", str(tmp_path / "root.pem"), "--provisioner", "acme")
    assert main.run(["ca", "certificate", NAME, *pair(tmp_path), *named, *given]) == 1
    said = capsys.readouterr().err
    assert (says in said, "not a key!" in said) == (True, False)
    assert not (tmp_path / "a.crt").exists()
    assert not any("/acme/" in asked for _, asked in ca.requests)
