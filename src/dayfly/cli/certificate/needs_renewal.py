"""`dayfly certificate needs-renewal`: an answer by exit code, for scripts and timers.

Rules: 0 due, 1 not due, 2 no such file, 255 any other error (interfaces.md 5); a file is looked at alone, so that the
answer comes in a tenth of a second; what a server shows counts only where it chains to the roots, expired or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
from cryptography import x509

from dayfly.cli.certificate.sources import Source, is_url, load_certificates
from dayfly.cli.output import emit, home_option, json_option, say, show_error
from dayfly.core.expiry import DEFAULT, Threshold, is_due, parse_threshold, share_used
from dayfly.core.x509.unreadable import UNREADABLE
from dayfly.errors import UsageError

DUE, NOT_DUE, NO_FILE = 0, 1, 2


@click.command("needs-renewal")
@click.argument("source")
@home_option
@click.option(
    "--expires-in", metavar="PERCENT|DURATION", help="Share of life used, or time left, as 75% or 1h15m. [default: 66%]"
)
@click.option("--bundle", is_flag=True, help="Every certificate of the file or of the server.")
@click.option("-v", "--verbose", is_flag=True, help="Say the answer too.")
@click.option("--roots", help="Roots that a server's certificate must chain to; else the system's.")
@click.option("--servername", help="Name to ask a server for.")
@json_option
def needs_renewal(
    source: str,
    home: str | None,
    expires_in: str | None,
    bundle: bool,
    verbose: bool,
    roots: str | None,
    servername: str | None,
    as_json: bool,
) -> int:
    """Is the certificate in SOURCE, a file or an https URL, due? Exit 0 due, 1 not due, 2 no such file, 255 else."""
    del home
    threshold = _threshold(expires_in)
    if source != "-" and not is_url(source) and not Path(source).exists():
        show_error(UsageError(f"there is no file {source}", hint="name a PEM file or an https URL"), as_json=as_json)
        return NO_FILE
    found = load_certificates(source, servername=servername)
    now = datetime.now(UTC)  # noqa: TID251 - a person's now
    if found.host:
        _check_shown(found, roots, name=servername or found.host, now=now)
    lives = _lives(found.certificates if bundle else found.certificates[:1])
    due = [life for life in lives if is_due(threshold, *life, now=now)]
    if as_json:
        emit(_document(due[0] if due else lives[0], now=now, due=bool(due)))
    elif verbose and due:
        click.echo("certificate needs renewal")
    elif verbose:
        say("certificate does not need renewal")
    return DUE if due else NOT_DUE


def _threshold(text: str | None) -> Threshold:
    try:
        return DEFAULT if text is None else parse_threshold(text)
    except ValueError as error:
        raise UsageError(f"--expires-in: {error}", hint="write it as 75% or 1h15m") from None


def _check_shown(found: Source, roots: str | None, *, name: str, now: datetime) -> None:
    """Raise unless the roots vouch for what the server shows, now or, where it has expired, at its end."""
    from dayfly.cli.certificate.roots import load_roots
    from dayfly.cli.certificate.verify import parse_host
    from dayfly.core.x509.chain import verify_for_any_use

    trusted = load_roots(roots)
    leaf, *intermediates = found.certificates
    moment = min(now, leaf.not_valid_after_utc)
    verify_for_any_use(leaf, intermediates, trusted.certificates, now=moment, name=parse_host(name))


def _lives(certificates: Sequence[x509.Certificate]) -> list[tuple[datetime, datetime]]:
    """First and last second of each; UsageError where they cannot be read."""
    try:
        return [(one.not_valid_before_utc, one.not_valid_after_utc) for one in certificates]
    except UNREADABLE:
        raise UsageError("the certificate's times cannot be read", hint="is the file damaged?") from None


def _document(life: tuple[datetime, datetime], *, now: datetime, due: bool) -> dict[str, object]:
    begin, end = life
    return {
        "needs_renewal": due,
        "not_before": begin.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "not_after": end.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "remaining_seconds": int((end - now).total_seconds()),
        "life_used": round(share_used(begin, end, now=now), 4),
    }
