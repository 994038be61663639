"""`ca renew` and `ca rekey` once: when they act, what they say, what they write (step-compat.md parts 5 and 14)."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from dayfly.cli import main
from dayfly.cli.requesting import names_of
from dayfly.client.transport import Answer
from factories import NAME, ec_key
from small_pki import Files, LeafKey, key_pem, write_pair
from step_ca import URL, StepCA, connect_to, real_now, refusal, unreachable

Renew = Callable[..., int]


@pytest.fixture
def ca(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StepCA:
    """A CA in memory."""
    made = StepCA()
    connect_to(made, monkeypatch, tmp_path)
    return made


def held(ca: StepCA, where: Path, *, key: LeafKey | None = None, password: bytes | None = None, **leaf: Any) -> Files:
    """A pair of this CA on disk: half an hour of an hour is left."""
    key = key or ec_key()
    values = {"begin": real_now() - timedelta(minutes=30)} | leaf
    return write_pair(where, ca.pki, ca.pki.leaf(NAME, key=key, **values), key, password=password)


def run(verb: str, files: Files, *arguments: str) -> int:
    """A verb on the pair."""
    return main.run(
        ["ca", verb, str(files.crt), str(files.key), *arguments, "--ca-url", URL, "--root", str(files.root)]
    )


def leaf_in(path: Path) -> x509.Certificate:
    """The certificate in a file."""
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_renewed_certificate_takes_the_olds_place_with_steps_line(
    ca: StepCA, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Same key, same names, another serial; mode kept; the key is not touched."""
    files = held(ca, tmp_path)
    files.crt.chmod(0o640)
    old, key = leaf_in(files.crt), files.key.read_bytes()
    assert run("renew", files, "--force") == 0
    assert capsys.readouterr().err == f"Your certificate has been saved in {files.crt}.\n"
    new = leaf_in(files.crt)
    assert new.serial_number == ca.issued[0].serial_number != old.serial_number
    assert (names_of(new), new.public_key()) == (names_of(old), old.public_key())
    assert files.key.read_bytes() == key
    assert stat.S_IMODE(files.crt.stat().st_mode) == 0o640
    assert files.crt.read_text().count("BEGIN CERTIFICATE") == 2


@pytest.mark.parametrize("verb", ["renew", "rekey"])
def test_link_that_changes_during_the_exchange_leads_to_no_other_file(ca: StepCA, tmp_path: Path, verb: str) -> None:
    """The pair that was read is the one that is replaced; nothing is left in any directory."""
    for name in ("mine", "theirs"):
        (tmp_path / name).mkdir()
    mine, theirs = held(ca, tmp_path / "mine"), held(ca, tmp_path / "theirs")
    before = theirs.crt.read_bytes(), theirs.key.read_bytes()
    link = tmp_path / "current"
    link.symlink_to("mine")
    answer = ca.answer

    def meanwhile(method: str, path: str, body: bytes, pair: Any, bearer: str) -> Answer:
        answered = answer(method, path, body, pair, bearer)
        link.unlink()
        link.symlink_to("theirs")
        return answered

    ca.answer = meanwhile  # type: ignore[method-assign]  # what happens while the CA answers
    assert run(verb, Files(link / mine.crt.name, link / mine.key.name, mine.root), "--force") == 0
    assert (theirs.crt.read_bytes(), theirs.key.read_bytes()) == before
    assert leaf_in(mine.crt).serial_number == ca.issued[0].serial_number
    assert load_pem_private_key(mine.key.read_bytes(), None).public_key() == leaf_in(mine.crt).public_key()
    assert sorted(one.name for one in mine.crt.parent.iterdir()) == sorted(
        one.name for one in theirs.crt.parent.iterdir()
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away; CI is root")
def test_root_renews_no_pair_in_somebody_elses_directory(
    ca: StepCA, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Refused before the CA is asked, with the command that does it as the owner."""
    place = tmp_path / "certs"
    place.mkdir()
    files = held(ca, place)
    os.chown(place, 65534, 65534)
    assert run("renew", files, "--force") == 1
    said = capsys.readouterr().err
    assert f"others may change {place}" in said
    assert "runuser -u nobody -- dayfly ca" in said
    assert ca.requests == []


def test_certificate_shows_itself_unless_a_token_is_asked_for(ca: StepCA, tmp_path: Path) -> None:
    """MTLS by default; --mtls=false, or the end of its life, makes a token of its key."""
    files = held(ca, tmp_path)
    shown: list[bool] = []
    answer = ca.answer

    def see(method: str, path: str, body: bytes, pair: Any, bearer: str) -> Answer:
        shown.append(pair is not None)
        assert bool(bearer) is (pair is None)
        return answer(method, path, body, pair, bearer)

    ca.answer = see  # type: ignore[method-assign]  # a look at what comes
    assert run("renew", files, "--force") == 0
    assert run("renew", files, "--force", "--mtls") == 0
    assert run("renew", files, "--force", "--mtls=false") == 0
    expired = held(ca, tmp_path, begin=real_now() - timedelta(hours=2))
    assert run("renew", expired, "--force") == 0
    assert shown == [True, True, False, False]


@pytest.mark.parametrize("expires_in", ["10m", "75%"])
def test_certificate_that_is_not_due_is_left_as_it_is(
    ca: StepCA, tmp_path: Path, capsys: pytest.CaptureFixture[str], expires_in: str
) -> None:
    """Step's line, exit 0, and nothing is asked; no --force is needed for that."""
    files = held(ca, tmp_path)
    before = files.crt.read_bytes()
    assert run("renew", files, "--expires-in", expires_in, "--json") == 0
    said = capsys.readouterr()
    assert re.fullmatch(r"certificate not renewed: expires in (30m0s|29m[0-9]+s)\n", said.err)
    assert json.loads(said.out)["renewed"] is False
    assert run("rekey", files, "--expires-in", expires_in) == 0
    assert capsys.readouterr().err.startswith("certificate not rekeyed: expires in ")
    assert (ca.requests, files.crt.read_bytes()) == ([], before)


@pytest.mark.parametrize("expires_in", ["31m", "50%", "1%"])
def test_certificate_that_is_due_is_renewed(ca: StepCA, tmp_path: Path, expires_in: str) -> None:
    """By what is left, or by what has passed."""
    assert run("renew", held(ca, tmp_path), "--expires-in", expires_in, "--force") == 0
    assert len(ca.issued) == 1


def test_overwriting_is_asked_for_at_a_terminal_and_refused_off_one__interfaces_7(
    ca: StepCA, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names --force; a no leaves everything."""
    files = held(ca, tmp_path)
    monkeypatch.setattr("sys.stdin", type("Nobody", (), {"isatty": lambda _: False})())
    assert run("renew", files) == 1
    assert "--force" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", type("Person", (), {"isatty": lambda _: True})())
    asked: list[str] = []

    def say_no(text: str, **_: object) -> str:
        asked.append(text)
        return "n"

    monkeypatch.setattr(click, "prompt", say_no)
    assert run("renew", files) == 1
    assert (asked, ca.issued) == ([f"Would you like to overwrite {files.crt} [y/n]"], [])
    monkeypatch.setattr(click, "prompt", lambda *_, **__: "y")
    assert run("renew", files) == 0
    assert len(ca.issued) == 1


def test_new_certificate_may_go_elsewhere_and_is_where_the_next_run_looks(ca: StepCA, tmp_path: Path) -> None:
    """`--out` leaves CRT as it is; when it is run again, what it made before counts."""
    files = held(ca, tmp_path)
    before, out = files.crt.read_bytes(), tmp_path / "new.crt"
    assert run("renew", files, "--out", str(out)) == 0
    assert (files.crt.read_bytes(), stat.S_IMODE(out.stat().st_mode)) == (before, 0o600)
    assert run("renew", files, "--out", str(out), "--expires-in", "45m") == 0
    assert len(ca.issued) == 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"public": ec_key().public_key()}, "another key"),
        ({"names": [NAME, "evil.example"]}, "other names"),
        ({"begin": real_now() - timedelta(hours=3)}, "expired"),
    ],
    ids=["another key", "one name more", "expired"],
)
def test_answer_that_was_not_asked_for_changes_nothing(
    ca: StepCA, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, Any], says: str
) -> None:
    """Verified first (security.md 9)."""
    files = held(ca, tmp_path)
    before = files.crt.read_bytes()
    ca.change = lambda _: change
    assert run("renew", files, "--force") == 1
    assert says in capsys.readouterr().err
    assert files.crt.read_bytes() == before


def test_old_certificate_that_comes_again_is_refused(
    ca: StepCA, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A renewal that renews nothing is none."""
    files = held(ca, tmp_path)
    ca.change = lambda _: {"serial": leaf_in(files.crt).serial_number}
    assert run("renew", files, "--force") == 1
    assert "the old certificate again" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("failure", "says"),
    [
        (unreachable(), "connection refused"),
        (refusal(401, "the certificate is revoked"), "the certificate is revoked"),
        (refusal(403, "no rule allows the name"), "no rule allows"),
        (refusal(503, "not now"), "dayfly ca health"),
    ],
)
def test_refusal_is_told_and_changes_nothing(
    ca: StepCA, tmp_path: Path, capsys: pytest.CaptureFixture[str], failure: Any, says: str
) -> None:
    """Exit 1, what happened and what to do."""
    files = held(ca, tmp_path)
    before, ca.failures = files.crt.read_bytes(), [failure]
    assert run("renew", files, "--force") == 1
    assert says in capsys.readouterr().err
    assert files.crt.read_bytes() == before


def test_expired_certificate_that_may_not_renew_is_shown_the_other_way(
    ca: StepCA, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A new one."""
    files = held(ca, tmp_path, begin=real_now() - timedelta(hours=2))
    ca.failures = [refusal(401, "it expired two hours ago")]
    assert run("renew", files, "--force") == 1
    assert "get a new one with dayfly ca certificate" in capsys.readouterr().err


def test_certificate_without_a_common_name_cannot_renew_by_token__step_compat_5(
    ca: StepCA, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`sub` is never empty."""
    assert run("renew", held(ca, tmp_path, common_name=""), "--force", "--mtls=false") == 1
    assert "has no CN" in capsys.readouterr().err
    assert ca.requests == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--expires-in", "soon"), "--expires-in"),
        (("--expires-in", "2h"), "longer than the certificate's whole life"),
        (("--expires-in", "101%"), "no share of life"),
        (("--expires-in", "1h", "--renew-period", "1h", "--daemon"), "two different plans"),
        (("--renew-period", "10m"), "takes --daemon"),
        (("--renew-period", "2h", "--daemon"), "not within the certificate's life"),
        (("--renew-period", "x", "--daemon"), "--renew-period"),
        (("--exec", "dayfly-no-such-program"), "no program"),
        (("--exec", "/absent"), "not there"),
        (("--pid", "0"), "--pid"),
        (("--signal", "1"), "--signal takes"),
        (("--pid-file", "absent"), "pid file"),
        (("--offline",), "only the CA's own process signs"),
        (("--kms", "x"), "keys live in files"),
    ],
)
def test_what_cannot_be_meant_is_told_before_anything_is_asked(
    ca: StepCA, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], says: str
) -> None:
    """Exit 1 for usage, too."""
    assert run("renew", held(ca, tmp_path), "--force", *arguments) == 1
    assert says in capsys.readouterr().err
    assert ca.requests == []


def test_place_that_cannot_be_written_is_found_before_a_certificate_is_spent(
    ca: StepCA, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not even root makes files below /proc."""
    assert run("renew", held(ca, tmp_path), "--out", "/proc/new.crt") == 1
    assert "cannot be written" in capsys.readouterr().err
    assert ca.requests == []


def test_managed_pair_is_left_to_its_agent__agent_17(
    ca: StepCA, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The next command is named, and nothing is asked."""
    generation = tmp_path / "agent/certs/api/gens/000001"
    generation.mkdir(parents=True)
    files = held(ca, generation)
    (generation / "meta.json").write_text("{}")
    for verb in ("renew", "rekey"):
        assert run(verb, files, "--force") == 1
        assert "dayfly agent run --once" in capsys.readouterr().err
    assert ca.requests == []


def test_hook_runs_after_the_certificate_and_its_failure_is_exit_1(
    ca: StepCA, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The certificate is saved, and said to be, whatever the hook says."""
    files = held(ca, tmp_path)
    hook = tmp_path / "hook"
    hook.write_text(f'#!/bin/sh\ncp "$DAYFLY_CERTIFICATE_FILE" {tmp_path}/seen\nexit 4\n')
    hook.chmod(0o755)
    assert run("renew", files, "--force", "--exec", str(hook), "--json") == 1
    said = capsys.readouterr()
    assert f"Your certificate has been saved in {files.crt}." in said.err
    assert "exit 4" in said.err
    assert (tmp_path / "seen").read_bytes() == files.crt.read_bytes()
    assert leaf_in(files.crt).serial_number == ca.issued[0].serial_number


# --- rekey ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("password", [None, b"secret"], ids=["plain", "encrypted"])
def test_rekeyed_pair_is_new_in_both_files(
    ca: StepCA, tmp_path: Path, capsys: pytest.CaptureFixture[str], password: bytes | None
) -> None:
    """Step's lines; a key that was encrypted is encrypted again, under the same password; modes are kept."""
    files = held(ca, tmp_path, password=password)
    files.key.chmod(0o440)
    (tmp_path / "password").write_bytes(b"secret\n")
    old = leaf_in(files.crt)
    flags = ("--force", "--password-file", str(tmp_path / "password"))
    assert run("rekey", files, *flags) == 0
    assert capsys.readouterr().err == f"✔ Certificate: {files.crt}\n✔ Private Key: {files.key}\n"
    new = leaf_in(files.crt)
    assert new.public_key() != old.public_key()
    assert load_pem_private_key(files.key.read_bytes(), password).public_key() == new.public_key()
    assert (names_of(new), stat.S_IMODE(files.key.stat().st_mode)) == (names_of(old), 0o440)


def test_rekey_takes_a_key_that_there_is_and_writes_it_only_where_it_is_told(ca: StepCA, tmp_path: Path) -> None:
    """`--private-key` stays where it is; with `--out-key` it is written there, too."""
    files, given = held(ca, tmp_path), ec_key()
    (tmp_path / "given.key").write_bytes(key_pem(given))
    before = files.key.read_bytes()
    flags = ("--private-key", str(tmp_path / "given.key"), "--out-cert", str(tmp_path / "new.crt"))
    assert run("rekey", files, *flags) == 0
    assert leaf_in(tmp_path / "new.crt").public_key() == given.public_key()
    assert files.key.read_bytes() == before
    assert run("rekey", files, *flags, "--force", "--out-key", str(tmp_path / "new.key")) == 0
    written = load_pem_private_key((tmp_path / "new.key").read_bytes(), None)
    assert written.public_key() == leaf_in(tmp_path / "new.crt").public_key()


@pytest.mark.parametrize(
    ("flags", "bits"), [((), 256), (("--curve", "P-384"), 384), (("--kty", "RSA", "--size", "2048"), 2048)]
)
def test_rekey_makes_a_key_of_the_kind_that_is_asked_for(
    ca: StepCA, tmp_path: Path, flags: tuple[str, ...], bits: int
) -> None:
    """P-256 by default."""
    files = held(ca, tmp_path)
    assert run("rekey", files, "--force", *flags) == 0
    assert getattr(leaf_in(files.crt).public_key(), "key_size", 0) == bits


@pytest.mark.parametrize(
    ("arguments", "leaf", "says"),
    [
        ((), {"begin": real_now() - timedelta(hours=2)}, "cannot rekey an expired certificate"),
        (("--size", "2048"), {}, "--size is for RSA keys"),
        (("--private-key", "absent"), {}, "cannot be read"),
        (("--daemon", "--private-key", "KEY"), {}, "--daemon needs a new one each time"),
        (("--rekey-period", "1m"), {}, "takes --daemon"),
    ],
)
def test_rekey_that_cannot_work_changes_nothing(
    ca: StepCA,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    leaf: dict[str, Any],
    says: str,
) -> None:
    """Before anything is asked."""
    files = held(ca, tmp_path, **leaf)
    before = files.crt.read_bytes(), files.key.read_bytes()
    named = tuple(str(files.key) if one == "KEY" else one for one in arguments)
    assert run("rekey", files, "--force", *named) == 1
    assert says in capsys.readouterr().err
    assert (ca.requests, (files.crt.read_bytes(), files.key.read_bytes())) == ([], before)


def test_nothing_is_left_in_the_directory(ca: StepCA, tmp_path: Path) -> None:
    """Neither lock nor temporary file, after a success or a failure."""
    files = held(ca, tmp_path)
    before = sorted(os.listdir(tmp_path))  # noqa: PTH208 - names alone
    assert run("rekey", files, "--force") == 0
    ca.failures = [unreachable()]
    assert run("renew", files, "--force") == 1
    assert sorted(os.listdir(tmp_path)) == before  # noqa: PTH208 - names alone
