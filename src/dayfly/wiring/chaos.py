"""Chaos mode as a process has it: refused for a CA that was not made for tests, said aloud for one that was."""

from __future__ import annotations

import logging

from cryptography import x509
from cryptography.x509.oid import NameOID

from dayfly.config.values import Config
from dayfly.core.acme.chaos import MARK, is_for_tests
from dayfly.errors import ConfigError

_LOG = logging.getLogger("dayfly.server")


def check_chaos(config: Config, certificates: tuple[bytes, ...]) -> None:
    """ConfigError where the configuration asks for chaos and these certificates (DER) of the CA are real ones."""
    if config.chaos is None:
        return
    if not is_for_tests(tuple(map(_common_name, certificates))):
        raise ConfigError(
            "chaos",
            f"this CA is a real one: the names of its certificates do not begin with {MARK.strip()!r}",
            hint="take [chaos] out of ca.toml; for tests make another CA: dayfly ca init --test-only",
        )
    _LOG.warning("chaos mode: this CA makes trouble on purpose, and is for tests only")


def _common_name(der: bytes) -> str:
    names = x509.load_der_x509_certificate(der).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""
