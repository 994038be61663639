"""Whom a reissue means, and when each one's turn is (RFC 9773 4.2).

Rules: what holds for a certificate follows from its row alone, so that nothing is written for each; only those are
meant that were issued before the word was given, so that a successor is not renewed again; the turns are spread evenly
over the time that was allowed, by the random part of the serial.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from dayfly.core.acme.objects import Certificate
from dayfly.core.fleet.selecting import is_met
from dayfly.core.ids import id_milliseconds, render_id
from dayfly.core.schedule import Window
from dayfly.core.settings.reissues import Reissue

PART = 20  # a window is this part of the spread, so that a client which draws a point in it keeps its turn
SECOND = timedelta(seconds=1)

_TURNS = 1 << 32  # by the lowest bits of the serial, which are random


def is_meant(reissue: Reissue, certificate: Certificate) -> bool:
    """Does the word reach this certificate? The CA's own are never meant."""
    account = "" if certificate.account_id is None else render_id(certificate.account_id)
    return (
        certificate.provisioner != ""
        and id_milliseconds(certificate.id) < int(reissue.at.timestamp() * 1000)
        and (not reissue.serials or f"{certificate.serial:x}" in reissue.serials)
        and (not reissue.accounts or account in reissue.accounts)
        and reissue.owner in {"", certificate.owner}
        and reissue.provisioner in {"", certificate.provisioner}
        and certificate.issuer != reissue.not_issuer
        and (not reissue.names or any(is_met(wanted, one) for wanted in reissue.names for one in certificate.names))
    )


def turn_of(reissue: Reissue, certificate: Certificate) -> Window:
    """When a certificate that is meant renews; without a time to spread over that is at once."""
    if not reissue.within:
        return Window(reissue.at - SECOND, reissue.at)
    length = max(reissue.within / PART, SECOND)
    start = reissue.at + (reissue.within - length) * (certificate.serial % _TURNS / _TURNS)
    return Window(start, start + length)


def find_reissue(reissues: Iterable[Reissue], certificate: Certificate) -> Reissue | None:
    """The one by which a certificate renews first; None where nobody means it."""
    meant = [one for one in reissues if is_meant(one, certificate)]
    return min(meant, key=lambda one: turn_of(one, certificate).start, default=None)
