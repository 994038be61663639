"""Which provisioner, whose password, which key: chosen by flags, by a person, or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from dayfly.cli import provisioning
from dayfly.cli.provisioning import Provisioner, choose, list_provisioners, load_signing_key, open_key
from dayfly.core.jose.encoding import b64u_encode
from dayfly.core.jose.jwk import render_jwk
from dayfly.errors import ClientError, ConfigError, UsageError
from small_pki import key_pem
from step_ca import PASSWORD, URL, Line, StepCA, connect_to

TEAM, OTHER, ACME = Provisioner("JWK", "team", "k1"), Provisioner("JWK", "team", "k2"), Provisioner("ACME", "acme")


class Terminal:
    """Standard input of a person, or of nobody."""

    def __init__(self, *, person: bool) -> None:
        self.person = person

    def isatty(self) -> bool:
        return self.person


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """No terminal, unless a test says so."""
    monkeypatch.setattr("sys.stdin", Terminal(person=False))


def answer(monkeypatch: pytest.MonkeyPatch, value: object) -> None:
    """A person at a terminal, who answers so."""
    monkeypatch.setattr("sys.stdin", Terminal(person=True))
    monkeypatch.setattr(click, "prompt", lambda *_, **__: value)


# --- which one --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "flags", "chosen"),
    [
        ((TEAM,), {}, TEAM),
        ((TEAM, ACME), {"name": "acme"}, ACME),
        ((TEAM, OTHER), {"kid": "k2"}, OTHER),
        ((TEAM, OTHER, ACME), {"name": "team", "kid": "k1"}, TEAM),
    ],
)
def test_the_one_that_fits_is_taken(
    found: tuple[Provisioner, ...], flags: dict[str, str], chosen: Provisioner, capsys: pytest.CaptureFixture[str]
) -> None:
    """And is named, as step does."""
    assert choose(found, types=("JWK", "ACME"), **flags) == chosen
    assert capsys.readouterr().err == f"✔ Provisioner: {chosen}\n"


@pytest.mark.parametrize(
    ("found", "flags", "says", "hint"),
    [
        ((TEAM, ACME), {}, "several provisioners fit", "--provisioner team; there are team, acme"),
        ((TEAM, OTHER), {}, "several provisioners fit", "--kid k1"),
        ((TEAM,), {"name": "absent"}, "no provisioner named absent", "those that fit: team"),
        ((TEAM,), {"kid": "absent"}, "no provisioner with the key absent", "those that fit: team"),
        ((), {}, "no provisioner that this command could use", "none"),
        ((Provisioner("OIDC", "corp"),), {"name": "corp"}, "type OIDC, which this command does not know", "another"),
    ],
)
def test_choice_that_cannot_be_made_names_the_flag(
    found: tuple[Provisioner, ...], flags: dict[str, str], says: str, hint: str
) -> None:
    """Off a terminal nothing is guessed."""
    with pytest.raises(UsageError, match=says) as caught:
        choose(found, types=("JWK", "ACME"), **flags)
    assert hint in caught.value.hint


def test_acme_provisioner_takes_no_tokens() -> None:
    """Who asks for a token is told the way that works."""
    with pytest.raises(UsageError, match="takes no tokens") as caught:
        choose((TEAM, ACME), types=("JWK",), name="acme")
    assert "dayfly ca certificate" in caught.value.hint


def test_person_at_a_terminal_chooses(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The list is on standard error, and the answer counts."""
    answer(monkeypatch, 2)
    assert choose((TEAM, ACME), types=("JWK", "ACME")) == ACME
    said = capsys.readouterr()
    assert "  1. team (JWK) [kid: k1]\n  2. acme (ACME)\n" in said.err
    assert said.out == ""


def test_provisioner_that_cannot_start_is_not_offered__step_compat_3() -> None:
    """The list keeps it with its reason; a client cannot use it."""
    ca = StepCA()
    ca.provisioners[0] |= {"state": "Uninitialized", "stateReason": "no key"}
    ca.provisioners.append({"type": "JWK", "name": "odd\x1b[2J", "key": 7})
    assert [str(one) for one in list_provisioners(Line(ca), URL)] == ["acme (ACME)", "odd [2J (JWK)"]  # type: ignore[arg-type]  # a fake


# --- its key ----------------------------------------------------------------------------------------------------------


def opened(ca: StepCA, home: str | None = None, **options: Any) -> object:
    """The public half of the provisioner's key, opened as a command does."""
    team = list_provisioners(Line(ca), URL)[0]  # type: ignore[arg-type]  # a fake
    return open_key(Line(ca), URL, team, home=home, options=options).key.public_key()  # type: ignore[arg-type]  # a fake


@pytest.fixture
def ca(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StepCA:
    """A CA in memory, and a clean environment."""
    made = StepCA()
    connect_to(made, monkeypatch, tmp_path)
    return made


def password_file(where: Path, content: bytes) -> Path:
    """A file with a password."""
    path = where / f"password-{content.hex()[:6]}"
    path.write_bytes(content + b"\n")
    return path


@pytest.mark.parametrize("flag", ["provisioner_password_file", "password_file"])
def test_password_of_a_flag_is_the_only_one_tried(ca: StepCA, tmp_path: Path, flag: str) -> None:
    """A wrong one is an error, whatever else this host knows."""
    right, wrong = ({flag: password_file(tmp_path, one)} for one in (PASSWORD, b"wrong"))
    assert opened(ca, None, **right) == ca.key.public_key()
    with pytest.raises(UsageError, match="does not open this key"):
        opened(ca, home_of_ca(tmp_path), **wrong)


def home_of_ca(where: Path, password: bytes = PASSWORD) -> str:
    """A CA's home on this host, with the password that init made."""
    home = where / "ca"
    (home / "secrets").mkdir(parents=True)
    (home / "ca.toml").touch()
    (home / "secrets/provisioner_password").write_bytes(password + b"\n")
    return str(home)


def test_home_of_the_ca_on_this_host_knows_the_password(ca: StepCA, tmp_path: Path) -> None:
    """Where init left it, nobody has to name it; a client's home does not count."""
    home = home_of_ca(tmp_path)
    assert opened(ca, home) == ca.key.public_key()
    (Path(home) / "ca.toml").unlink()
    with pytest.raises(UsageError, match="no terminal"):
        opened(ca, home)


def test_environments_file_is_tried_after_the_home(ca: StepCA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DAYFLY_PASSWORD_FILE may be that of the CA's keys: what does not fit is no error while another password does."""
    monkeypatch.setenv("DAYFLY_PASSWORD_FILE", str(password_file(tmp_path, b"of the keys")))
    assert opened(ca, home_of_ca(tmp_path)) == ca.key.public_key()
    monkeypatch.setenv("DAYFLY_PASSWORD_FILE", str(password_file(tmp_path, PASSWORD)))
    assert opened(ca) == ca.key.public_key()


def test_person_is_asked_last(ca: StepCA, monkeypatch: pytest.MonkeyPatch) -> None:
    """The prompt is the last word; an empty answer opens nothing."""
    answer(monkeypatch, PASSWORD.decode())
    assert opened(ca) == ca.key.public_key()
    answer(monkeypatch, "wrong")
    with pytest.raises(UsageError, match="does not open"):
        opened(ca)
    answer(monkeypatch, "")
    with pytest.raises(UsageError, match="empty password"):
        opened(ca)


def test_off_a_terminal_the_flag_is_named(ca: StepCA) -> None:
    """Nobody hangs at a prompt."""
    with pytest.raises(UsageError, match="no terminal") as caught:
        opened(ca)
    assert "--provisioner-password-file" in caught.value.hint


def test_password_file_that_is_absent_is_named(ca: StepCA, tmp_path: Path) -> None:
    """With its flag."""
    with pytest.raises(ConfigError, match="--provisioner-password-file"):
        opened(ca, provisioner_password_file=tmp_path / "absent")


def test_key_that_the_ca_keeps_to_itself_is_told(ca: StepCA) -> None:
    """Then --key is the way."""
    ca.gives_key = False
    with pytest.raises(UsageError, match="does not give out") as caught:
        opened(ca)
    assert "--key" in caught.value.hint


def test_hostile_key_makes_no_client_work_for_minutes(ca: StepCA, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten million rounds are the most, and no password is asked for twice because of it."""
    monkeypatch.setattr(provisioning, "fetch_encrypted_key", lambda *_: "a.b.c.d.e")
    answer(monkeypatch, PASSWORD.decode())
    with pytest.raises(UsageError, match="cannot be opened"):
        opened(ca)


# --- a key in a file --------------------------------------------------------------------------------------------------


def jwk_text(ca: StepCA) -> bytes:
    """The provisioner's private JWK."""
    secret = ca.key.private_numbers().private_value.to_bytes(32, "big")
    return msgspec.json.encode({**render_jwk(ca.key.public_key()), "d": b64u_encode(secret)})


@pytest.mark.parametrize("form", ["pem", "encrypted pem", "jwk", "jwe"])
def test_key_file_is_read_in_every_form(ca: StepCA, tmp_path: Path, form: str) -> None:
    """PEM with a password or without, a JWK, a JWE of one."""
    content = {
        "pem": key_pem(ca.key),
        "encrypted pem": key_pem(ca.key, password=PASSWORD),
        "jwk": jwk_text(ca),
        "jwe": ca.jwe().encode(),
    }[form]
    path = tmp_path / "key"
    path.write_bytes(b"\n" + content + b"\n")
    options = {"provisioner_password_file": password_file(tmp_path, PASSWORD)}
    assert load_signing_key(path, options=options).public_key() == ca.key.public_key()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot be read"),
        (b"", "cannot be opened"),
        (b"-----BEGIN PRIVATE KEY-----", "cannot be opened"),
        (b"{}", "cannot be used"),
        (
            x25519.X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            "no key that signs tokens",
        ),
    ],
    ids=["absent", "empty", "no PEM", "no JWK", "X25519"],
)
def test_file_that_is_no_key_is_refused(ca: StepCA, tmp_path: Path, content: bytes | None, says: str) -> None:
    """Which file, and what is wrong with it."""
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    options = {"provisioner_password_file": password_file(tmp_path, PASSWORD)}
    with pytest.raises(Exception, match=says) as caught:
        load_signing_key(path, options=options)
    assert isinstance(caught.value, UsageError | ClientError)
    del ca
