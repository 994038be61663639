"""What each key of a ca.toml may say.

Rules: a relative path is relative to the home; a wrong value names its key's path, and says what was found and what was
expected.
"""

from __future__ import annotations

import re
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path

from dayfly.config.addresses import Address, parse_address, parse_dns_names
from dayfly.config.file import ChaosTable, File, ValidationTable
from dayfly.config.values import Config, CRLConfig, ValidationConfig, url_host
from dayfly.core.acme.chaos import Chaos
from dayfly.core.pages import page_url_fault
from dayfly.core.policy.lifetimes import parse_duration
from dayfly.core.policy.limit_figures import FigureError, LimitsTable, parse_figures
from dayfly.core.policy.limits import LimitFigures
from dayfly.errors import ConfigError

MAX_ALTERNATES = 8
SHORTEST_CRL, LONGEST_CRL = timedelta(seconds=30), timedelta(days=7)
_CRL_URL = re.compile(r"http://[0-9A-Za-z.\[\]:-]{1,253}(?:/[0-9A-Za-z._~-]{1,64}){0,4}")


def check_file(file: File, *, home: Path) -> Config:
    """The settings in a file; ConfigError with the path of the key that says what it may not."""
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


def _crl(file: File) -> CRLConfig | None:
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


def _crl_url(file: File, address: Address) -> str:
    """The CA's first name over plain http; port 80 is left out."""
    host = url_host(parse_dns_names(file.dns_names, "dns_names")[0])
    return f"http://{host}" if address.port == 80 else f"http://{host}:{address.port}"


def _crl_validity(text: str) -> timedelta:
    try:
        validity = parse_duration(text)
    except ValueError as error:
        raise ConfigError("crl.validity", str(error)) from None
    if not SHORTEST_CRL <= validity <= LONGEST_CRL:
        raise ConfigError("crl.validity", f"found {text}, expected {SHORTEST_CRL.seconds}s to {LONGEST_CRL.days}d")
    return validity


def _chaos(table: ChaosTable) -> Chaos:
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


def _validation(table: ValidationTable) -> ValidationConfig:
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
