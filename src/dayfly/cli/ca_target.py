"""Which CA a client command means, and the flags that say so (step-compat.md part 11, "Layout on disk").

Rules: a flag goes before the environment, the environment before config/defaults.json of the home; the system's own
trust store is never asked; a flag of step's that means something we do not have is refused with a word, never ignored.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from dayfly.client.transport import ClientPair, Transport, parse_url, present, trusting, trusting_text
from dayfly.core.x509.pem import PEMError, parse_pem_certificates
from dayfly.errors import ClientError, UsageError
from dayfly.home import resolve_home

Command = TypeVar("Command", bound=Callable[..., Any])

ca_url_option = click.option("--ca-url", help="The CA, as https://ca.internal.example:9000.")
root_option = click.option("--root", type=click.Path(path_type=Path), help="The CA's root certificate.")

# step's flags that no client command takes, and why.
NOT_TAKEN: Mapping[str, str] = {
    "--context": "one home is one CA; keep several apart with --home or DAYFLY_HOME",
    "--offline": "only the CA's own process signs; ask the running CA",
    "--kms": "keys live in files",
    "--ca-config": "there is no ca.json; the CA is named by --ca-url and --root, or by a home",
}


@dataclass(frozen=True, slots=True)
class Target:
    """Which CA: its URL, and its root: the `root` file, or the text itself where a token brought its fingerprint."""

    url: str
    root: Path
    root_pem: str = ""

    def connect(self, pair: ClientPair | None = None) -> Transport:
        """A connection that trusts this root alone, and shows `pair` where the CA asks for it; ClientError."""
        context = trusting_text(self.root_pem) if self.root_pem else trusting(self.root)
        if pair is not None:
            present(context, pair)
        return Transport(self.url, context, shows_pair=pair is not None)

    def roots(self) -> tuple[bytes, ...]:
        """The root certificates (DER); ClientError."""
        try:
            return parse_pem_certificates(self.root_pem or self.root.read_text("ascii"))
        except (OSError, UnicodeDecodeError, PEMError) as error:
            raise ClientError(f"the root certificate {self.root} cannot be read: {error}") from None

    def fingerprint(self) -> str:
        """The SHA-256 (hex) of the first root; ClientError."""
        return hashlib.sha256(self.roots()[0]).hexdigest()


def not_taken(flag: str, why: str, *, is_flag: bool = False) -> Callable[[Command], Command]:
    """Know a flag of step's, and refuse it with the reason."""

    def refuse(context: click.Context, parameter: click.Parameter, value: object) -> None:
        del context, parameter
        if value not in (None, False, ()):
            raise UsageError(f"{flag} is not taken: {why}", hint=f"leave {flag} out")

    name = f"refused_{flag.strip('-').replace('-', '_')}"  # of its own, since an argument may have the flag's
    return click.option(
        name, flag, hidden=True, expose_value=False, callback=refuse, is_flag=is_flag, help=f"Refused: {why}."
    )


def none_of_these(*flags: str) -> Callable[[Command], Command]:
    """Refuse these of the flags in NOT_TAKEN."""

    def decorate(command: Command) -> Command:
        for flag in flags:
            command = not_taken(flag, NOT_TAKEN[flag], is_flag=flag == "--offline")(command)
        return command

    return decorate


def find_url(home: str | None, ca_url: str | None) -> str:
    """The CA's URL from the flag, else DAYFLY_CA_URL, else config/defaults.json of the home; UsageError."""
    url = ca_url or os.environ.get("DAYFLY_CA_URL") or read_defaults(home).get("ca-url")
    if not url:
        raise UsageError("no CA is named", hint="name it: --ca-url https://ca.internal.example:9000")
    if "://" not in url:  # as step has it: a bare host is an https one
        url = f"https://{url}"
    parse_url(url)
    return url.rstrip("/")


def find_ca(home: str | None, ca_url: str | None, root: Path | None) -> Target:
    """The CA from flags, else DAYFLY_CA_URL and DAYFLY_ROOT, else config/defaults.json of the home; UsageError."""
    url = find_url(home, ca_url)
    chosen = root or os.environ.get("DAYFLY_ROOT") or read_defaults(home).get("root")
    if not chosen:
        raise UsageError(
            "no root certificate is named, and the system's own trust store is never used",
            hint="run: dayfly ca bootstrap --ca-url URL --fingerprint SHA256; or name its file: --root root_ca.crt",
        )
    return Target(url, Path(chosen))


def root_is_named(home: str | None, root: Path | None) -> bool:
    """Does a flag, the environment or the home say which root is trusted?"""
    return bool(root or os.environ.get("DAYFLY_ROOT") or read_defaults(home).get("root"))


def read_defaults(home: str | None) -> dict[str, str]:
    """What `ca bootstrap` or `ca init` left for clients in the home: step's names for the keys; UsageError."""
    path = home_of(home) / "config" / "defaults.json"
    try:
        document = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        raise UsageError(f"{path} cannot be read as JSON", hint="mend or remove it") from None
    if not isinstance(document, dict):
        return {}
    return {key: value for key, value in document.items() if isinstance(value, str)}


def home_of(home: str | None) -> Path:
    """The home that the flag, DAYFLY_HOME or the user's own home names."""
    return resolve_home(home, os.environ, Path.home())
