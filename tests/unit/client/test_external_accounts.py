"""The key that binds our own account, from its file (RFC 8555 7.3.4)."""

from __future__ import annotations

from pathlib import Path

import pytest

from dayfly.client.external_accounts import MAX_OCTETS, load_external_account
from dayfly.core.acme.external_accounts import parse_binding, refusal_of
from dayfly.core.jose.encoding import b64u_encode
from dayfly.core.jose.jwk import public_key_of
from dayfly.errors import ConfigError
from external_accounts import NEW_ACCOUNT, SECRET, external_key
from factories import NOW, ec_key


def written(where: Path, content: bytes, *, mode: int = 0o600) -> Path:
    """A file with this content and mode."""
    path = where / "eab.key"
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("mode", [0o600, 0o640])
def test_binding_of_ours_is_one_that_our_server_takes__acme_e2(tmp_path: Path, mode: int) -> None:
    """From the secret as it is shown, with the newline of the shell; a group may read it, and no text shows it."""
    path = written(tmp_path, b64u_encode(SECRET).encode() + b"\n", mode=mode)
    account, key = load_external_account(external_key().kid, path), public_key_of(ec_key().public_key())
    parsed = parse_binding(account.binding(key, url=NEW_ACCOUNT), url=NEW_ACCOUNT, key=key)
    assert refusal_of(parsed, external_key(), provisioner="acme", source=None, now=NOW) == ""
    assert b64u_encode(SECRET) not in repr(account)


@pytest.mark.parametrize("content", [b"", b"\n", b"AAAA AAAA", b"AAA=", b"A" * (MAX_OCTETS + 4), "ä".encode()])
def test_file_that_holds_no_secret_is_refused_without_its_content(tmp_path: Path, content: bytes) -> None:
    """Empty, two words, padded, too long, no ASCII."""
    path = written(tmp_path, content)
    with pytest.raises(ConfigError, match="holds no external account key") as caught:
        load_external_account("kid", path)
    assert "AAA" not in caught.value.message


def test_file_that_is_not_there_or_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """By its mode, whatever is in it."""
    with pytest.raises(ConfigError, match="cannot be read"):
        load_external_account("kid", tmp_path / "none")
    with pytest.raises(ConfigError, match="others can read") as caught:
        load_external_account("kid", written(tmp_path, b"AAAA", mode=0o604))
    assert "chmod o=" in caught.value.hint
