"""agent.toml as frozen settings (interfaces.md 3, agent.md 4).

Rules: an unknown key is an error that names its path; durations have limits; nothing is expanded in paths, and a
relative path is relative to the home; what is read here is complete, so that nothing else looks at the file.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from dayfly.agent.tables import Table, read_text_file
from dayfly.core.frozen import replace
from dayfly.errors import ConfigError

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_DNS = re.compile(r"(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_UNIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9:_.@-]{0,250}\.(service|socket|target)")
_MAX_BYTES = 1 << 20

#: Those that ask a process to read its files again; a signal that ends it is no reload.
SIGNALS = ("HUP", "USR1", "USR2", "WINCH")
OUTPUTS = ("fullchain", "key", "cert", "chain", "combined", "ca")


class KeyType(StrEnum):
    """The key types that the agent makes."""

    P256 = "p256"
    P384 = "p384"
    RSA2048 = "rsa2048"
    RSA3072 = "rsa3072"


@dataclass(frozen=True, slots=True)
class ExternalKey:
    """Which external account key binds the agent's account (RFC 8555 7.3.4): its id, and the file of its secret."""

    kid: str
    file: Path


@dataclass(frozen=True, slots=True)
class CASettings:
    """Which CA: the directory URL (https), the file of the one root that is trusted, and what binds the account."""

    directory: str
    root: Path
    eab: ExternalKey | None = None


@dataclass(frozen=True, slots=True)
class Standalone:
    """Answer http-01 on a port of the agent's own."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Webroot:
    """Answer http-01 by a file below a running web server's root."""

    directory: Path


@dataclass(frozen=True, slots=True)
class CommandReload:
    """Run a program; an argv array, never a shell."""

    argv: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SignalReload:
    """Send a signal to the process that a pid file names."""

    signal: str
    pid_file: Path


@dataclass(frozen=True, slots=True)
class SystemdReload:
    """`systemctl reload` of a unit."""

    unit: str


Reload = CommandReload | SignalReload | SystemdReload


@dataclass(frozen=True, slots=True)
class Target:
    """An address at which the certificate must be seen; `sni` is empty where only an address is certified."""

    host: str
    port: int
    sni: str

    @property
    def label(self) -> str:
        """The address as a person wrote it: `127.0.0.1:8443`, `[::1]:443`."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class CertificateSettings:
    """One certificate: `lifetime` and `within` are in seconds, `lifetime` 0 leaves it to the CA.

    `ca` is whom it is asked for: to ask another CA, or by another account, is another declaration.
    """

    name: str
    names: tuple[str, ...]
    challenge: Standalone | Webroot
    owner: str = ""
    lifetime: int = 0
    key_type: KeyType = KeyType.P256
    reload: Reload | None = None
    targets: tuple[Target, ...] = ()
    matches: int = 3
    within: int = 60
    ca: CASettings | None = None

    @property
    def digest(self) -> str:
        """Which declaration this is; a changed one ends a wait for policy."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """All of agent.toml; `metrics` is `host:port`, `unix:PATH`, or empty."""

    ca: CASettings
    certificates: tuple[CertificateSettings, ...]
    metrics: str = ""


def load_settings(path: Path, *, home: Path) -> AgentSettings:
    """The settings in the file at `path`; ConfigError, also when it cannot be read."""
    return parse_settings(read_text_file(path, limit=_MAX_BYTES), home=home)


def parse_settings(text: str, *, home: Path) -> AgentSettings:
    """The settings in `text`; ConfigError names the path of the first key that is wrong."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError("agent.toml", f"not TOML: {error}") from error
    table = Table("", data).only("ca", "cert", "metrics")
    ca = _ca(table.table("ca"), home)
    certificates = [_certificate(name, entry, home) for name, entry in table.tables("cert").items()]
    settings = AgentSettings(
        ca=ca,
        certificates=tuple(replace(one, ca=ca) for one in certificates),
        metrics=_metrics(table),
    )
    table.end()
    if not settings.certificates:
        raise ConfigError(
            "cert", "no certificate is declared", hint='add a table such as [cert.api] with names = ["…"]'
        )
    return settings


def _ca(table: Table, home: Path) -> CASettings:
    directory = table.only("directory", "root", "eab").text("directory")
    if not directory.startswith("https://") or not directory.isascii() or not directory.isprintable():
        raise table.wrong("directory", "expected an https URL")
    settings = CASettings(directory, home / table.text("root"), _external_key(table, home))
    table.end()
    return settings


def _external_key(parent: Table, home: Path) -> ExternalKey | None:
    if "eab" not in parent:
        return None
    table = parent.table("eab").only("kid", "key_file")
    key = ExternalKey(table.text("kid"), home / table.text("key_file"))
    table.end()
    return key


def _metrics(table: Table) -> str:
    text = table.text("metrics", default="")
    if text and not text.startswith("unix:/"):
        table.address("metrics", text)
    return text


def _certificate(name: str, table: Table, home: Path) -> CertificateSettings:
    if _NAME.fullmatch(name) is None:
        raise ConfigError(table.path, "expected a name of [a-z0-9][a-z0-9_-]{0,62}")
    table.only("names", "owner", "lifetime", "key", "challenge", "reload", "targets", "verify", "output")
    names = _names(table)
    verify = table.table("verify", optional=True).only("matches", "within")
    settings = CertificateSettings(
        name=name,
        names=names,
        owner=table.text("owner", default=""),
        lifetime=table.seconds("lifetime", default=0, least=10, most=398 * 86_400),
        key_type=_key_type(table.table("key", optional=True)),
        challenge=_challenge(table.table("challenge"), home),
        reload=_reload(table, home),
        targets=tuple(_target(entry, names) for entry in table.entries("targets")),
        matches=verify.number("matches", default=3, least=1, most=20),
        within=verify.seconds("within", default=60, least=1, most=3600),
    )
    verify.end()
    _check_outputs(table)
    table.end()
    return settings


def _names(table: Table) -> tuple[str, ...]:
    names = tuple(name.lower() if name.isascii() else name for name in table.texts("names"))
    for name in names:
        if len(name) > 253 or (_DNS.fullmatch(name) is None and not table.is_ip(name)):
            raise table.wrong("names", f"{name!r} is neither a DNS name nor an IP address")
    if not names or len(set(names)) < len(names):
        raise table.wrong("names", "expected at least one name, and none twice")
    return names


def _key_type(table: Table) -> KeyType:
    text = table.only("type", "rotate").choice("type", tuple(KeyType), default=KeyType.P256)
    table.choice("rotate", ("each",), default="each")  # a new key at every renewal is all there is yet
    table.end()
    return KeyType(text)


def _challenge(table: Table, home: Path) -> Standalone | Webroot:
    table.only("type", "listen", "webroot").choice("type", ("http-01",))
    listen, webroot = table.text("listen", default=""), table.text("webroot", default="")
    if bool(listen) == bool(webroot):
        raise ConfigError(table.path, "expected exactly one of listen and webroot")
    table.end()
    return Standalone(*table.address("listen", listen)) if listen else Webroot(home / webroot)


def _reload(parent: Table, home: Path) -> Reload | None:
    table = parent.table("reload", optional=True).only("argv", "signal", "pid_file", "systemd")
    kinds = [kind for kind in ("argv", "signal", "systemd") if kind in table]
    if len(kinds) > 1 or (not kinds and "reload" in parent):
        raise ConfigError(table.path, "expected exactly one of argv, signal (with pid_file) and systemd")
    if not kinds:
        return None
    reload = {"argv": _command, "signal": _signal, "systemd": _systemd}[kinds[0]](table, home)
    table.end()
    return reload


def _command(table: Table, _home: Path) -> Reload:
    argv = table.texts("argv")
    if not argv or not argv[0].startswith("/") or any("\0" in word for word in argv):
        raise table.wrong("argv", "expected an absolute program and its arguments, one word each; no shell is used")
    return CommandReload(argv)


def _signal(table: Table, home: Path) -> Reload:
    return SignalReload(table.choice("signal", SIGNALS), home / table.text("pid_file"))


def _systemd(table: Table, _home: Path) -> Reload:
    unit = table.text("systemd")
    if _UNIT.fullmatch(unit) is None:
        raise table.wrong("systemd", "expected a unit such as nginx.service")
    return SystemdReload(unit)


def _target(entry: Table, names: tuple[str, ...]) -> Target:
    host, port = entry.only("addr", "sni").address("addr", entry.text("addr"))
    sni = entry.text("sni", default="") or next((name for name in names if not entry.is_ip(name)), "")
    entry.end()
    return Target(host, port, f"dayfly-probe{sni[1:]}" if sni.startswith("*.") else sni)


def _check_outputs(table: Table) -> None:
    """Every form is always written; the list is there for the reader, and is held to known words."""
    for word in table.texts("output", default=()):
        if word not in OUTPUTS:
            raise table.wrong("output", f"expected words of {', '.join(OUTPUTS)}, not {word!r}")
