"""The shape of a ca.toml, as it is written.

Rules: an unknown key is an error that names its path; nothing is expanded; what a key may say is judged in `checks`.
"""

from __future__ import annotations

import re
import tomllib

import msgspec

from dayfly.core.policy.limit_figures import LimitsTable
from dayfly.errors import ConfigError

VERSION = 1
MAX_OCTETS = 1024 * 1024
_MISSING = re.compile(r"Object missing required field `(?P<key>[^`]*)`(?: - at `\$(?P<at>[^`]*)`)?")
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<key>[^`]*)`(?: - at `\$(?P<at>[^`]*)`)?")
_WRONG = re.compile(r"(?P<what>.*?)(?: - at `\$\.?(?P<at>[^`]*)`)?")


class IssuerTable(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The key that issues, its certificate, and other chains for it."""

    certificate: str
    key: str
    alternates: list[str] = []


class LogTable(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The key that signs the log's checkpoints."""

    key: str


class MetricsTable(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Where metrics are served; nowhere where the address is empty."""

    address: str = "127.0.0.1:9180"


class ValidationTable(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Where validators look; `resolver` is one name server or several."""

    http_port: int = 80
    tls_port: int = 443
    resolver: str | list[str] = ""
    allow: list[str] = []
    hosts: dict[str, str] = {}


class CRLTable(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Where revocation lists are served in the plain; nowhere without an address."""

    address: str = ""
    url: str = ""
    validity: str = "24h"


class ChaosTable(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """How much trouble a CA makes on purpose."""

    bad_nonces: float = 0.05
    delay: float = 3.0
    reuse: float = 0.5
    orders_page: int = 3
    retry_after: int = 2


class RenewalInfoTable(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What renewal information says beside its window (RFC 9773 4.2)."""

    explanation_url: str = ""


class File(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """All of it; a table that is left out has its defaults."""

    version: int
    name: str
    address: str
    dns_names: list[str]
    database: str
    root: str
    issuer: IssuerTable
    log: LogTable
    metrics: MetricsTable = msgspec.field(default_factory=MetricsTable)
    validation: ValidationTable = msgspec.field(default_factory=ValidationTable)
    limits: LimitsTable = msgspec.field(default_factory=LimitsTable)
    renewal_info: RenewalInfoTable = msgspec.field(default_factory=RenewalInfoTable)
    chaos: ChaosTable | None = None
    crl: CRLTable = msgspec.field(default_factory=CRLTable)


def parse_file(text: bytes) -> File:
    """The file as its shape has it; ConfigError with the key's path."""
    if len(text) > MAX_OCTETS:
        raise ConfigError("", f"ca.toml has {len(text)} octets; at most {MAX_OCTETS} are read")
    try:
        file = msgspec.convert(tomllib.loads(text.decode("utf-8")), File)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError("", f"ca.toml is not valid TOML: {error}", hint="mend the file at the place named") from None
    except msgspec.ValidationError as error:
        raise _config_error(str(error)) from None
    if file.version != VERSION:
        raise ConfigError("version", f"found {file.version}, this Dayfly reads version {VERSION}")
    return file


def _config_error(text: str) -> ConfigError:
    """Msgspec's text as a ConfigError that names the key's path."""
    if match := _UNKNOWN.fullmatch(text):
        return ConfigError(
            _key_path(match["at"], match["key"]), "unknown key", hint="see docs/reference/ca-toml.md for the keys"
        )
    if match := _MISSING.fullmatch(text):
        return ConfigError(_key_path(match["at"], match["key"]), "is missing")
    match = _WRONG.fullmatch(text)
    hint = "see docs/reference/ca-toml.md for what each key takes"
    return ConfigError(match["at"] or "", match["what"].lower(), hint=hint) if match else ConfigError("", text)


def _key_path(at: str | None, key: str) -> str:
    return f"{at.lstrip('.')}.{key}" if at else key
