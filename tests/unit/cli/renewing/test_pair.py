"""A pair in files: read together, replaced whole with mode and owner kept, one renewer at a time."""

from __future__ import annotations

import io
import os
import stat
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, x25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from dayfly.cli.renewing.pair import (
    Replacement,
    load_pair,
    locked,
    refuse_managed,
    rehearse,
    render_key,
    replace_files,
)
from dayfly.errors import UsageError
from factories import NAME, ec_key
from small_pki import PKI, key_pem, write_pair

CA = PKI()
KEY = ec_key()
LEAF = CA.leaf(NAME, key=KEY)
LONG = "a" * 250
"""A name that leaves no room for that of the temporary file."""


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """No password from the environment, and no terminal."""
    monkeypatch.delenv("DAYFLY_PASSWORD_FILE", raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO())


@pytest.mark.parametrize("password", [None, b"secret"], ids=["plain", "encrypted"])
def test_pair_is_read_with_its_whole_chain(tmp_path: Path, password: bytes | None) -> None:
    """Leaf first; the password that opened the key stays known, and is never shown."""
    files = write_pair(tmp_path, CA, LEAF, KEY, password=password)
    given = tmp_path / "password"
    given.write_bytes(b"secret\n")
    pair = load_pair(files.crt, files.key, password_file=given)
    assert (pair.leaf, len(pair.chain), pair.password) == (LEAF, 2, password)
    assert pair.life.end == LEAF.not_valid_after_utc
    assert "secret" not in repr(pair)
    assert load_pair(files.crt, files.key, password_file=None, password=password).leaf == LEAF


def test_text_around_certificates_is_no_matter__rfc7468_2(tmp_path: Path) -> None:
    """As `openssl x509 -text` leaves it; a key among them is refused, for the file is replaced."""
    files = write_pair(tmp_path, CA, LEAF, KEY)
    chain = files.crt.read_text()
    files.crt.write_text(f"Certificate:\n    Data: für api\n{chain}\ntrailing")
    assert load_pair(files.crt, files.key, password_file=None).leaf == LEAF
    files.crt.write_text(chain + key_pem(KEY).decode())
    with pytest.raises(UsageError, match="a private key stands"):
        load_pair(files.crt, files.key, password_file=None)


def test_environment_names_the_password_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DAYFLY_PASSWORD_FILE, where no flag is given."""
    files = write_pair(tmp_path, CA, LEAF, KEY, password=b"secret")
    (tmp_path / "password").write_bytes(b"secret\n")
    monkeypatch.setenv("DAYFLY_PASSWORD_FILE", str(tmp_path / "password"))
    assert load_pair(files.crt, files.key, password_file=None).password == b"secret"


@pytest.mark.parametrize(
    ("crt", "key", "says"),
    [
        (None, key_pem(KEY), "there is no file"),
        (b"junk", key_pem(KEY), "is not a PEM certificate"),
        (b"\xff", key_pem(KEY), "is not a PEM certificate"),
        (b"", None, "is not a PEM certificate"),
        (CA.chain(LEAF).encode(), None, "cannot be read"),
        (CA.chain(LEAF).encode(), b"junk", "the file is damaged"),
        (CA.chain(LEAF).encode(), key_pem(ec_key()), "do not belong together"),
        (CA.chain(LEAF).encode(), key_pem(KEY, password=b"x"), "no terminal"),
        (
            CA.chain(LEAF).encode(),
            x25519.X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            "of a kind that certificates here do not have",
        ),
    ],
    ids=["no crt", "junk", "no text", "empty", "no key", "damaged key", "another's key", "password", "X25519"],
)
def test_pair_that_is_none_is_refused(tmp_path: Path, crt: bytes | None, key: bytes | None, says: str) -> None:
    """Which file, and what is wrong with it."""
    for name, content in (("a.crt", crt), ("a.key", key)):
        if content is not None:
            (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=says):
        load_pair(tmp_path / "a.crt", tmp_path / "a.key", password_file=None)


def test_wrong_password_is_told(tmp_path: Path) -> None:
    """And is not shown."""
    files = write_pair(tmp_path, CA, LEAF, KEY, password=b"secret")
    (tmp_path / "password").write_bytes(b"wrong\n")
    with pytest.raises(UsageError, match="the password is wrong") as caught:
        load_pair(files.crt, files.key, password_file=tmp_path / "password")
    assert "secret" not in caught.value.message


def test_rendered_key_keeps_its_password() -> None:
    """A key that was encrypted is encrypted again."""
    content = render_key(KEY, password=b"secret")
    assert b"ENCRYPTED" in content
    assert load_pem_private_key(content, b"secret").public_key() == KEY.public_key()
    assert load_pem_private_key(render_key(KEY, password=None), None).public_key() == KEY.public_key()
    other = ed25519.Ed25519PrivateKey.generate()
    assert load_pem_private_key(render_key(other, password=b"x"), b"x").public_key() == other.public_key()


def replace(*wanted: tuple[Path, bytes, int]) -> None:
    """Replace files where they lie now."""
    with locked(*(path for path, _, _ in wanted)) as spots:
        replace_files(tuple(Replacement(spots[path], content, mode) for path, content, mode in wanted))


# --- replacing --------------------------------------------------------------------------------------------------------


def test_replaced_file_keeps_mode_and_new_file_gets_its_own(tmp_path: Path) -> None:
    """0640 stays 0640; a new key is 0600; nothing is left behind."""
    old, new = tmp_path / "a.crt", tmp_path / "a.key"
    old.write_text("old")
    old.chmod(0o640)
    replace((new, b"key", 0o600), (old, b"crt", 0o600))
    assert (old.read_bytes(), new.read_bytes()) == (b"crt", b"key")
    assert (stat.S_IMODE(old.stat().st_mode), stat.S_IMODE(new.stat().st_mode)) == (0o640, 0o600)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.crt", "a.key"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away; CI is root")
def test_replaced_file_keeps_its_owner_and_group(tmp_path: Path) -> None:
    """A service that reads its key as another user still does."""
    path = tmp_path / "a.key"
    path.write_text("old")
    os.chown(path, 12345, 23456)
    path.chmod(0o440)
    replace((path, b"new", 0o600))
    facts = path.stat()
    assert (facts.st_uid, facts.st_gid, stat.S_IMODE(facts.st_mode)) == (12345, 23456, 0o440)


def test_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    """Whoever points at the file by a link goes on to see it."""
    (tmp_path / "real").mkdir()
    target, link = tmp_path / "real/a.crt", tmp_path / "a.crt"
    target.write_text("old")
    link.symlink_to(target)
    replace((link, b"new", 0o600))
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_failed_replacement_changes_no_file(tmp_path: Path) -> None:
    """When the second cannot be made, the first stays as it was."""
    first = tmp_path / "a.key"
    first.write_text("old")
    with pytest.raises(UsageError, match="cannot be written"):
        replace((first, b"new", 0o600), (tmp_path / LONG, b"new", 0o600))
    assert first.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["a.key"]


def test_rehearsal_finds_what_would_fail_and_leaves_nothing(tmp_path: Path) -> None:
    """A place that cannot be written, or not by this user for its owner."""
    (tmp_path / "a.crt").write_text("old")
    with locked(tmp_path / "a.crt", tmp_path / "a.key", tmp_path / LONG) as spots:
        crt, key, long = spots.values()
        rehearse((crt, key))
        assert [one.name for one in tmp_path.iterdir()] == ["a.crt"]
        with pytest.raises(UsageError, match="cannot be written"):
            rehearse((crt, long))
    assert [one.name for one in tmp_path.iterdir()] == ["a.crt"]


def test_file_that_would_change_its_owner_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither it nor the one before it changes, and no temporary file stays."""
    for name in ("a.key", "a.crt"):
        (tmp_path / name).write_text("old")
    real = os.fstat

    def of_another(descriptor: int) -> os.stat_result:
        facts = real(descriptor)
        return os.stat_result((*facts[:4], facts.st_uid + 1, *facts[5:]))

    def not_permitted(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr("dayfly.cli.renewing.pair.os.fchown", not_permitted)
    replace((tmp_path / "a.key", b"new", 0o600))
    with locked(tmp_path / "a.crt") as spots:
        monkeypatch.setattr("dayfly.cli.renewing.pair.os.fstat", of_another)
        with pytest.raises(UsageError, match="belongs to another user"):
            replace_files((Replacement(spots[tmp_path / "a.crt"], b"new", 0o600),))
        monkeypatch.undo()
    assert (tmp_path / "a.crt").read_text() == "old"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.crt", "a.key"]


# --- who may touch it -------------------------------------------------------------------------------------------------


def test_pair_of_an_agent_is_left_to_the_agent__agent_17(tmp_path: Path) -> None:
    """The error names the agent's own command; a directory that only looks like one does not count."""
    generation = tmp_path / "home/certs/api/gens/000001"
    generation.mkdir(parents=True)
    (generation / "fullchain.pem").write_text("x")
    current = tmp_path / "home/certs/api/current"
    current.symlink_to("gens/000001")
    refuse_managed(current / "fullchain.pem")
    (generation / "meta.json").write_text("{}")
    with pytest.raises(UsageError, match="is kept by the agent") as caught:
        refuse_managed(current / "fullchain.pem")
    assert f"dayfly agent run --once --home {tmp_path / 'home'}" in caught.value.hint


def test_second_renewer_waits_for_the_first(tmp_path: Path) -> None:
    """The lock is the directory's, and nothing lies there afterwards."""
    path, held, order = tmp_path / "a.crt", threading.Event(), []
    release = threading.Event()

    def first() -> None:
        with locked(path):
            held.set()
            release.wait(10)
            order.append("first")

    thread = threading.Thread(target=first, daemon=True)
    thread.start()
    assert held.wait(10)
    with pytest.raises(UsageError, match="another renewal"), locked(path, within=0.0):
        order.append("never")
    release.set()
    with locked(path):
        order.append("second")
    thread.join()
    assert order == ["first", "second"]
    assert list(tmp_path.iterdir()) == []


def test_directory_that_is_absent_cannot_be_locked(tmp_path: Path) -> None:
    """It is told as what it is."""
    with pytest.raises(UsageError, match="cannot be opened"), locked(tmp_path / "absent/a.crt"):
        pass
