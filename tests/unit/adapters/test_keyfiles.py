"""Files that hold secrets (security.md section 9)."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from dayfly.adapters.keyfiles import create_file, is_encrypted, load_key, read_file, read_password, save_key
from dayfly.errors import ConfigError, SignerError
from factories import ec_key


def mode(path: Path) -> int:
    """The permission bits of a file."""
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("mask", [0o000, 0o077, 0o277])
def test_key_file_is_0600_whatever_the_umask__g1(tmp_path: Path, mask: int) -> None:
    """The mode is set by descriptor before the first octet."""
    before = os.umask(mask)
    try:
        save_key(tmp_path / "key", ec_key(), password=b"password")
    finally:
        os.umask(before)
    assert mode(tmp_path / "key") == 0o600
    assert is_encrypted(tmp_path / "key")


def test_key_comes_back_with_its_password_and_with_no_other(tmp_path: Path) -> None:
    """A wrong or missing password is an error that says so, and shows nothing of it."""
    path, key = tmp_path / "key", ec_key()
    save_key(path, key, password=b"correct horse")
    found = load_key(path, password=b"correct horse")
    assert found.private_numbers() == key.private_numbers()  # type: ignore[union-attr]  # an EC key went in
    for password, says in ((b"wrong horse", "the password is wrong"), (None, "no password was given")):
        with pytest.raises(SignerError, match=says) as caught:
            load_key(path, password=password)
        assert "horse" not in str(caught.value)


def test_nothing_is_overwritten_and_no_link_followed__g3(tmp_path: Path) -> None:
    """A file or link in the place is left as it is."""
    (tmp_path / "there").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("there", "link"):
        with pytest.raises(FileExistsError):
            create_file(tmp_path / name, b"x", mode=0o600)
    with pytest.raises(OSError, match="symbolic links"):
        read_file(tmp_path / "link")
    assert (tmp_path / "there").read_text() == "mine"
    assert not (tmp_path / "elsewhere").exists()


def test_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """The error says how to mend it."""
    save_key(tmp_path / "key", ec_key(), password=None)
    (tmp_path / "key").chmod(0o640)
    with pytest.raises(ConfigError, match="others can read it") as caught:
        load_key(tmp_path / "key", password=None)
    assert "chmod 600" in caught.value.hint


@pytest.mark.parametrize(("content", "password"), [(b"pw", b"pw"), (b"pw\n", b"pw"), (b" pw \r\n", b" pw ")])
def test_password_loses_one_newline_and_nothing_else(tmp_path: Path, content: bytes, password: bytes) -> None:
    """White space belongs to the password."""
    (tmp_path / "password").write_bytes(content)
    assert read_password(tmp_path / "password", flag="--password-file") == password


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: path.write_bytes(b"\n"), "is empty"),
        (lambda path: path.write_bytes(b"x" * 2000), "larger than"),
        (lambda path: path.mkdir(), "cannot be read|not a regular file"),
        (os.mkfifo, "not a regular file"),
        (lambda path: None, "cannot be read"),
    ],
    ids=["empty", "large", "directory", "fifo", "absent"],
)
def test_password_file_that_is_none_says_why(tmp_path: Path, make: object, says: str) -> None:
    """Each kind of wrong file has its error, and a FIFO does not hang."""
    make(tmp_path / "password")  # type: ignore[operator]  # a case's own maker
    with pytest.raises(ConfigError, match=says):
        read_password(tmp_path / "password", flag="--password-file")


def test_damaged_key_is_told(tmp_path: Path) -> None:
    """What is no key is a damaged file."""
    create_file(tmp_path / "key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", mode=0o600)
    with pytest.raises(SignerError, match="damaged"):
        load_key(tmp_path / "key", password=None)
