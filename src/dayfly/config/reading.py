"""ca.toml: what a CA process needs to start, read into frozen, validated settings.

Rules: the file is read whole, and refused whole; where there is none, the error says what to run. Provisioners, rules
and owners are not in it: they live in the database.
"""

from __future__ import annotations

from pathlib import Path

from dayfly.config.checks import check_file
from dayfly.config.file import parse_file
from dayfly.config.values import Config
from dayfly.errors import ConfigError


def parse_config(text: bytes, *, home: Path) -> Config:
    """The settings in a ca.toml; ConfigError with the key's path."""
    return check_file(parse_file(text), home=home)


def load_config(home: Path) -> Config:
    """The settings of the CA in `home`; ConfigError where there is none, or it cannot be read."""
    return parse_config(read_config(home), home=home)


def read_config(home: Path) -> bytes:
    """The ca.toml of the CA in `home`, as it is; ConfigError where there is none, or it cannot be read."""
    path = home / "ca.toml"
    try:
        return path.read_bytes()
    except FileNotFoundError:
        if (home / "ca.toml.pending").exists():
            hint = f"run: dayfly ca init --home {home} --chain-in CHAIN --root ROOT"
            raise ConfigError("", f"the CA in {home} waits for its issuing certificate", hint=hint) from None
        raise ConfigError(
            "",
            f"there is no CA in {home}: {path.name} is missing",
            hint="run `dayfly ca init`, or name the home: --home",
        ) from None
    except OSError as error:
        raise ConfigError(
            "", f"{path} cannot be read: {error.strerror}", hint="run this as the user who owns the home"
        ) from None
