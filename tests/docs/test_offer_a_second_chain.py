"""The page about a second chain is run as it stands."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from dayfly.config.reading import load_config
from dayfly.core.frozen import replace
from dayfly.errors import ConfigError
from dayfly.wiring.keys import open_keys
from docs.test_tutorial import scripts, shell

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "offer-a-second-chain.md"


def test_second_chain_is_offered_as_written__rfc8555_7_4_2(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The CA opens with it, and what the other CA signed verifies there; a file that fits no leaf stops the start."""
    for script in scripts(PAGE.read_text("utf-8")):
        shell(script, tmp_path)
    config = load_config(tmp_path / "home")
    password = (tmp_path / "password").read_bytes().strip()
    keys = open_keys(config, password)
    (alternate,) = keys.alternates
    cross, other = (
        x509.load_pem_x509_certificate((tmp_path / name).read_bytes()) for name in ("cross.crt", "other.crt")
    )
    assert alternate.certificates == (cross.public_bytes(Encoding.DER),)
    cross.verify_directly_issued_by(other)
    both = tmp_path / "both.crt"
    both.write_bytes((tmp_path / "cross.crt").read_bytes() + (tmp_path / "other.crt").read_bytes())
    for wrong, why in ((both, "is a root"), (config.root, "another key")):
        with pytest.raises(ConfigError, match=why):
            open_keys(replace(config, issuer_alternates=(wrong,)), password)
    with pytest.raises(ConfigError, match="cannot be read"):
        open_keys(replace(config, issuer_alternates=(tmp_path / "nothing",)), password)
    monkeypatch.setattr(
        "dayfly.wiring.keys.SystemClock.now", lambda _: cross.not_valid_after_utc + timedelta(seconds=1)
    )
    assert open_keys(config, password).alternates == keys.alternates  # told, and not offered
    assert "an alternate chain has ended" in caplog.text
