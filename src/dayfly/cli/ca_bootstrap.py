"""`dayfly ca bootstrap`: make this host a client of a CA; a URL and a fingerprint are all that is needed.

1. Nothing is asked where the files are there and may not be replaced.  2. The root comes without trust and is compared
with the fingerprint.  3. It and config/defaults.json are written.  4. With --install the host trusts it too.
"""

from __future__ import annotations

import os
from pathlib import Path

import click
import msgspec

from dayfly.cli.ca_target import ca_url_option, home_of, none_of_these, not_taken
from dayfly.cli.files import check_targets, write_file
from dayfly.cli.output import doing, emit, home_option, json_option, say
from dayfly.cli.truststore import find_trust_store, install_anchor
from dayfly.client.step import fetch_root, normal_fingerprint
from dayfly.client.transport import parse_url
from dayfly.core.x509.pem import parse_pem_certificates
from dayfly.errors import UsageError

_TEAM = "the CA is named by its own URL; no service is asked for it"


@click.command()
@home_option
@ca_url_option
@click.option("--fingerprint", help="SHA-256 of the root, as `ca init` printed it.")
@click.option("--install", is_flag=True, help="Make this host trust the root, too.")
@click.option("-f", "--force", is_flag=True, help="Overwrite existing files.")
@none_of_these("--context")
@not_taken("--team", _TEAM)
@not_taken("--team-url", _TEAM)
@not_taken("--team-authority", _TEAM)
@not_taken("--redirect-url", _TEAM)
@json_option
def bootstrap(
    home: str | None, ca_url: str | None, fingerprint: str | None, install: bool, force: bool, as_json: bool
) -> None:
    """Make this host a client of a CA: fetch its root by the fingerprint, and remember both."""
    where = home_of(home)
    url, wanted = _named(ca_url, fingerprint)
    root, defaults = where / "certs" / "root_ca.crt", where / "config" / "defaults.json"
    if (where / "ca.toml").exists():
        raise UsageError(
            f"{where} is the home of a CA, and knows its own root", hint="give the client a home of its own: --home DIR"
        )
    store = find_trust_store() if install else None
    for directory in (root.parent, defaults.parent):
        _make_directory(directory)
    check_targets((root, defaults), force=force)
    pem = fetch_root(url, wanted)
    write_file(root, pem.encode(), mode=0o644)
    say(f"The root certificate has been saved in {root}.")
    document = {"ca-url": url, "fingerprint": wanted, "root": str(root)}
    write_file(defaults, msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n", mode=0o644)
    say(f"The authority configuration has been saved in {defaults}.")
    installed = None
    if store is not None:
        der, found = parse_pem_certificates(pem, limit=1)[0], store
        installed = doing(
            "Installing the root certificate in the system truststore...",
            lambda: install_anchor(der, found),
            done="done.",
        )
    if as_json:
        emit({**document, "defaults": str(defaults), "installed": str(installed) if installed else None})


def _named(ca_url: str | None, fingerprint: str | None) -> tuple[str, str]:
    """URL and fingerprint from flags or the environment; never from what an earlier run left."""
    url = ca_url or os.environ.get("DAYFLY_CA_URL")
    if not url:
        raise UsageError("--ca-url is missing", hint="add --ca-url https://ca.internal.example:9000")
    wanted = fingerprint or os.environ.get("DAYFLY_FINGERPRINT")
    if not wanted:
        raise UsageError("--fingerprint is missing", hint="`dayfly ca init` printed it on the CA's host")
    url = url if "://" in url else f"https://{url}"
    parse_url(url)
    return url.rstrip("/"), normal_fingerprint(wanted)


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{path} cannot be made: {error.strerror}", hint="name another home: --home DIR") from None
