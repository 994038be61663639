"""ca.toml: what a CA process needs to start, read into frozen, validated settings.

Rules: an unknown key is an error that names its path; a relative path is relative to the home; nothing is expanded; a
wrong value says what was found and what was expected. Provisioners, rules and owners are not here: they live in the
database.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any

import msgspec

from dayfly.core.acme.chaos import Chaos
from dayfly.core.identifiers import Identifier, parse_dns, parse_ip
from dayfly.core.pages import page_url_fault
from dayfly.core.policy.lifetimes import parse_duration
from dayfly.core.policy.limit_figures import FigureError, LimitsTable, parse_figures
from dayfly.core.policy.limits import DEFAULT_FIGURES, LimitFigures
from dayfly.core.problems import Refused
from dayfly.errors import ConfigError

VERSION = 1
MAX_OCTETS = 1024 * 1024
MAX_DNS_NAMES = 20
MAX_ALTERNATES = 8
SHORTEST_CRL, LONGEST_CRL = timedelta(seconds=30), timedelta(days=7)

_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z.-]*):(?P<port>[0-9]{1,5})")
_CRL_URL = re.compile(r"http://[0-9A-Za-z.\[\]:-]{1,253}(?:/[0-9A-Za-z._~-]{1,64}){0,4}")
_MISSING = re.compile(r"Object missing required field `(?P<key>[^`]*)`(?: - at `\$(?P<at>[^`]*)`)?")
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<key>[^`]*)`(?: - at `\$(?P<at>[^`]*)`)?")
_WRONG = re.compile(r"(?P<what>.*?)(?: - at `\$\.?(?P<at>[^`]*)`)?")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a listener binds; an empty host is every address, IPv6 and IPv4."""

    host: str
    port: int

    def __str__(self) -> str:
        """The address as it is written: `host:port`, an IPv6 host in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ValidationConfig:
    """The `[validation]` table: lab settings, each with the default that the RFCs name."""

    http_port: int = 80
    tls_port: int = 443
    resolver: tuple[Address, ...] = ()
    allow: tuple[IPv4Network | IPv6Network, ...] = ()
    hosts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CRLConfig:
    """The `[crl]` table: where CRLs are served in the plain, the URL that leaves name, how long each is good."""

    address: Address
    url: str
    validity: timedelta


@dataclass(frozen=True, slots=True)
class Config:
    """A validated ca.toml; paths are absolute."""

    home: Path
    name: str
    address: Address
    dns_names: tuple[Identifier, ...]
    database: str
    root: Path
    issuer_certificate: Path
    issuer_key: str
    log_key: str
    metrics: Address | None
    validation: ValidationConfig
    limits_enabled: bool
    limit_figures: LimitFigures = DEFAULT_FIGURES
    explanation_url: str = ""
    chaos: Chaos | None = None
    issuer_alternates: tuple[Path, ...] = ()
    crl: CRLConfig | None = None

    @property
    def base_urls(self) -> tuple[str, ...]:
        """The URLs under which the CA is known, the canonical one first; port 443 is left out of them."""
        port = "" if self.address.port == 443 else f":{self.address.port}"
        return tuple(f"https://{_url_host(name)}{port}" for name in self.dns_names)


def _url_host(name: Identifier) -> str:
    return f"[{name.value}]" if ":" in name.value else name.value


class _Issuer(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    certificate: str
    key: str
    alternates: list[str] = []


class _Log(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    key: str


class _Metrics(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    address: str = "127.0.0.1:9180"


class _Validation(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    http_port: int = 80
    tls_port: int = 443
    resolver: str | list[str] = ""
    allow: list[str] = []
    hosts: dict[str, str] = {}


class _CRL(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    address: str = ""
    url: str = ""
    validity: str = "24h"


class _Chaos(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    bad_nonces: float = 0.05
    delay: float = 3.0
    reuse: float = 0.5
    orders_page: int = 3
    retry_after: int = 2


class _RenewalInfo(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    explanation_url: str = ""


class _File(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    version: int
    name: str
    address: str
    dns_names: list[str]
    database: str
    root: str
    issuer: _Issuer
    log: _Log
    metrics: _Metrics = msgspec.field(default_factory=_Metrics)
    validation: _Validation = msgspec.field(default_factory=_Validation)
    limits: LimitsTable = msgspec.field(default_factory=LimitsTable)
    renewal_info: _RenewalInfo = msgspec.field(default_factory=_RenewalInfo)
    chaos: _Chaos | None = None
    crl: _CRL = msgspec.field(default_factory=_CRL)


def parse_config(text: bytes, *, home: Path) -> Config:
    """The settings in a ca.toml; ConfigError with the key's path."""
    if len(text) > MAX_OCTETS:
        raise ConfigError("", f"ca.toml has {len(text)} octets; at most {MAX_OCTETS} are read")
    try:
        document = tomllib.loads(text.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError("", f"ca.toml is not valid TOML: {error}", hint="mend the file at the place named") from None
    file = _convert(document)
    if file.version != VERSION:
        raise ConfigError("version", f"found {file.version}, this Dayfly reads version {VERSION}")
    return _validate(file, home=home)


def _convert(document: dict[str, Any]) -> _File:
    try:
        return msgspec.convert(document, _File)
    except msgspec.ValidationError as error:
        raise _config_error(str(error)) from None


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


def _validate(file: _File, *, home: Path) -> Config:
    return Config(
        home=home,
        name=_name(file.name),
        address=parse_address(file.address, "address"),
        dns_names=parse_dns_names(file.dns_names, "dns_names"),
        database=file.database,
        root=home / file.root,
        issuer_certificate=home / file.issuer.certificate,
        issuer_key=_key_uri(file.issuer.key, "issuer.key"),
        log_key=_key_uri(file.log.key, "log.key"),
        metrics=parse_address(file.metrics.address, "metrics.address") if file.metrics.address else None,
        validation=_validation(file.validation),
        limits_enabled=file.limits.enabled,
        limit_figures=_figures(file.limits),
        explanation_url=_explanation_url(file.renewal_info.explanation_url),
        chaos=_chaos(file.chaos) if file.chaos is not None else None,
        issuer_alternates=_alternates(file.issuer.alternates, home),
        crl=_crl(file),
    )


def _figures(table: LimitsTable) -> LimitFigures:
    try:
        return parse_figures(table)
    except FigureError as error:
        raise ConfigError(f"limits.{error.key}", str(error), hint=error.hint) from None


def _crl(file: _File) -> CRLConfig | None:
    """None without an address: then no leaf may live longer than noRevAvail says."""
    table = file.crl
    if not table.address:
        if table.url:
            raise ConfigError("crl.address", "is missing", hint='say where to serve CRLs, as ":9080", or drop it')
        return None
    address = parse_address(table.address, "crl.address")
    url = table.url.rstrip("/") or _crl_url(file, address)
    if _CRL_URL.fullmatch(url) is None:
        raise ConfigError("crl.url", f"found {url[:200]!r}, expected http://HOST or http://HOST:PORT, and no https")
    return CRLConfig(address, url, _crl_validity(table.validity))


def _crl_url(file: _File, address: Address) -> str:
    """The CA's first name over plain http; port 80 is left out."""
    host = _url_host(parse_dns_names(file.dns_names, "dns_names")[0])
    return f"http://{host}" if address.port == 80 else f"http://{host}:{address.port}"


def _crl_validity(text: str) -> timedelta:
    try:
        validity = parse_duration(text)
    except ValueError as error:
        raise ConfigError("crl.validity", str(error)) from None
    if not SHORTEST_CRL <= validity <= LONGEST_CRL:
        raise ConfigError("crl.validity", f"found {text}, expected {SHORTEST_CRL.seconds}s to {LONGEST_CRL.days}d")
    return validity


def _chaos(table: _Chaos) -> Chaos:
    """Trouble within bounds: what is tested must still come to an end."""
    for key, value, low, high in (
        ("bad_nonces", table.bad_nonces, 0.0, 0.9),
        ("delay", table.delay, 0.0, 30.0),
        ("reuse", table.reuse, 0.0, 1.0),
        ("orders_page", table.orders_page, 1, 1_000),
        ("retry_after", table.retry_after, 1, 60),
    ):
        if not low <= value <= high:
            raise ConfigError(f"chaos.{key}", f"found {value}, expected {low:g} to {high:g}")
    return Chaos(table.bad_nonces, table.delay, table.reuse, table.orders_page, table.retry_after)


def _alternates(texts: list[str], home: Path) -> tuple[Path, ...]:
    """Files with other chains for the issuing key; clients try them one by one, so there are few."""
    if len(texts) > MAX_ALTERNATES:
        raise ConfigError("issuer.alternates", f"found {len(texts)} files, at most {MAX_ALTERNATES} are read")
    return tuple(home / text for text in texts)


def _explanation_url(text: str) -> str:
    """A page for people; clients show its URL, so it is a plain one."""
    if text and page_url_fault(text):
        raise ConfigError("renewal_info.explanation_url", page_url_fault(text))
    return text


def _name(text: str) -> str:
    if not text.strip() or len(text) > 64 or not text.isprintable():
        raise ConfigError("name", "expected 1 to 64 printable characters")
    return text


def _key_uri(text: str, path: str) -> str:
    if not text.startswith("file:") or text == "file:":
        raise ConfigError(path, f"found {text!r}, expected a key URI such as file:secrets/intermediate_ca_key")
    return text


def parse_address(text: str, path: str) -> Address:
    """A listener's `host:port`; port 0 is refused, since URLs are identities."""
    match = _ADDRESS.fullmatch(text)
    if match is None:
        raise ConfigError(path, f"found {text!r}, expected HOST:PORT or :PORT, as :9000 or 127.0.0.1:9000")
    port = int(match["port"])
    if not 1 <= port <= 65535:
        raise ConfigError(
            path,
            f"port {port} cannot be used; expected 1 to 65535, since URLs are identities",
            hint="choose one, as :9000",
        )
    host = match["host"].strip("[]")
    if host and host != "localhost":
        try:
            ip_address(host)
        except ValueError:
            raise ConfigError(path, f"{host!r} is no IP address; listen on an address or on :{port} for all") from None
    return Address(host, port)


def parse_dns_names(names: list[str] | tuple[str, ...], path: str) -> tuple[Identifier, ...]:
    """The CA's own names, DNS or IP, without duplicates, in order."""
    if not 1 <= len(names) <= MAX_DNS_NAMES:
        raise ConfigError(path, f"expected 1 to {MAX_DNS_NAMES} names, found {len(names)}")
    return tuple(dict.fromkeys(_parse_host(name, path) for name in names))


def _parse_host(text: str, path: str) -> Identifier:
    try:
        ip_address(text.strip("[]"))
    except ValueError:
        is_address = False
    else:
        is_address = True
    try:
        return parse_ip(text.strip("[]")) if is_address else parse_dns(text, wildcard=False)
    except Refused as error:
        raise ConfigError(path, f"{text!r} is not a name that the CA can have: {error.detail}") from None


def _validation(table: _Validation) -> ValidationConfig:
    for key, port in (("http_port", table.http_port), ("tls_port", table.tls_port)):
        if not 1 <= port <= 65535:
            raise ConfigError(f"validation.{key}", f"found {port}, expected 1 to 65535")
    resolver = table.resolver if isinstance(table.resolver, list) else [table.resolver] if table.resolver else []
    return ValidationConfig(
        http_port=table.http_port,
        tls_port=table.tls_port,
        resolver=tuple(map(_name_server, resolver)),
        allow=tuple(_network(text) for text in table.allow),
        hosts={name.lower(): _host_address(name, text) for name, text in table.hosts.items()},
    )


def _name_server(text: str) -> Address:
    """A name server's address and port; it cannot be named, since it is what looks names up."""
    address = parse_address(text, "validation.resolver")
    if not address.host or address.host == "localhost":
        raise ConfigError("validation.resolver", f"found {text!r}, expected an IP address and a port, as 10.0.0.53:53")
    return address


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise ConfigError("validation.allow", f"{text!r} is no network such as 127.0.0.0/8: {error}") from None


def _host_address(name: str, text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        raise ConfigError(f"validation.hosts.{name}", f"{text!r} is no IP address") from None


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
