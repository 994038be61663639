"""Renewal information (RFC 9773): which certificate is asked about, and when it should be renewed.

Rules: an identifier has one spelling, of which nothing is forgiven; a window has a start before its end, in whole
seconds, and never ends after the certificate; a revoked certificate's window has passed; randomness is an argument.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from dayfly.core.acme.rendering import render_time
from dayfly.core.jose.encoding import EncodingError, b64u_decode, b64u_encode
from dayfly.core.problems import Malformed
from dayfly.core.schedule import Timing, Window, renewal_window

MAX_ID = 128  # characters; two of 20 octets take 56
MAX_SERIAL_OCTETS = 20  # RFC 5280 4.1.2.2
SECOND = timedelta(seconds=1)
REVOKED_WAIT = timedelta(minutes=1)  # who is told to renew at once comes back soon, until it has
LEAST_WAIT = 1.0  # seconds; a header has no fractions
SPREAD = 0.2  # of a wait that is left to chance, so that clients which began together come apart


@dataclass(frozen=True, slots=True)
class CertificateId:
    """What names a certificate in a URL: its issuer's key identifier and its serial (RFC 9773 4.1)."""

    key_id: bytes
    serial: int


def parse_certificate_id(text: str) -> CertificateId:
    """The identifier in `text`; Malformed unless it is exactly as RFC 9773 4.1 has it.

    Two parts of plain base64url, the second the content octets of a positive DER INTEGER, with its leading 00.
    """
    parts = text.split(".")
    if len(text) > MAX_ID or len(parts) != 2 or not all(parts):
        raise Malformed("a certificate is named by two parts of base64url with a dot between them (RFC 9773 4.1)")
    try:
        key_id, octets = map(b64u_decode, parts)
    except EncodingError as error:
        raise Malformed(f"the name of the certificate is not plain base64url: {error}") from None
    serial = int.from_bytes(octets)
    if len(octets) > MAX_SERIAL_OCTETS or serial == 0 or octets != _integer_octets(serial):
        raise Malformed("the second part is not the content of a positive DER INTEGER of at most 20 octets")
    return CertificateId(key_id, serial)


def render_certificate_id(key_id: bytes, serial: int) -> str:
    """The identifier as it stands in a URL and in `replaces`."""
    return f"{b64u_encode(key_id)}.{b64u_encode(_integer_octets(serial))}"


def _integer_octets(number: int) -> bytes:
    """The content octets of a positive DER INTEGER (X.690 8.3)."""
    return number.to_bytes(number.bit_length() // 8 + 1)


@dataclass(frozen=True, slots=True)
class Renewal:
    """What is told of a certificate: when to renew, how long to wait before asking again, and where the reason is."""

    window: Window
    wait: timedelta
    explanation_url: str = ""


def plan_renewal_info(
    not_before: datetime,
    not_after: datetime,
    *,
    revoked_at: datetime | None = None,
    forced: Window | None = None,
    explanation_url: str = "",
) -> Renewal:
    """What is told (RFC 9773 4.2).

    1. Revoked: the window ended when that was.
    2. Asked for by the operator or a change of issuer: the `forced` window, unless the usual one is the earlier.
    3. Else from 1/2 to 2/3 of life.

    `explanation_url` goes with the first two.
    """
    life = not_after - not_before + SECOND
    timing = Timing.for_lifetime(life)
    if revoked_at is not None:
        end = revoked_at.replace(microsecond=0)
        past = Window(end - timing.ari_retry_after - SECOND, end)
        return Renewal(_whole(past, not_after), min(timing.ari_retry_after, REVOKED_WAIT), explanation_url)
    usual = _whole(renewal_window(not_before, not_after + SECOND), not_after)
    if forced is None or _whole(forced, not_after).start >= usual.start:
        return Renewal(usual, timing.ari_retry_after)
    return Renewal(_whole(forced, not_after), timing.ari_retry_after, explanation_url)


def _whole(window: Window, not_after: datetime) -> Window:
    """The window in whole seconds, at least one of them long, and not past notAfter."""
    start = min(window.start.replace(microsecond=0), not_after - SECOND)
    return Window(start, min(max(window.end.replace(microsecond=0), start + SECOND), not_after))


def retry_after(wait: timedelta, jitter: float) -> int:
    """The seconds of Retry-After: the wait less a random part of a fifth, but one at least (RFC 9773 4.3)."""
    return int(max(wait.total_seconds() * (1 - SPREAD * jitter), LEAST_WAIT))


def render_renewal_info(renewal: Renewal) -> bytes:
    """The RenewalInfo object (RFC 9773 4.2)."""
    window = {"start": render_time(renewal.window.start), "end": render_time(renewal.window.end)}
    document: dict[str, object] = {"suggestedWindow": window}
    if renewal.explanation_url:
        document["explanationURL"] = renewal.explanation_url
    return msgspec.json.encode(document)
