"""What a client reads of renewal information (RFC 9773 4.2): strictly, since it decides when a certificate renews."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from dayfly.client.transport import Answer, printable
from dayfly.core.acme.answers import parse_answer
from dayfly.core.acme.renewal_info import render_certificate_id
from dayfly.core.pages import page_url_fault
from dayfly.core.schedule import Window
from dayfly.core.x509.leaf import authority_key_id
from dayfly.errors import ClientError


def certificate_id(leaf: x509.Certificate) -> str:
    """What a certificate is called there (RFC 9773 4.1)."""
    return render_certificate_id(authority_key_id(leaf.public_bytes(Encoding.DER)), leaf.serial_number)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """When the CA wants a certificate renewed; `retry_after` is in seconds, None where it does not say."""

    window: Window
    retry_after: float | None = None
    explanation_url: str = ""


class WireWindow(msgspec.Struct, frozen=True):
    """The suggested window."""

    start: datetime
    end: datetime


class WireRenewalInfo(msgspec.Struct, frozen=True, rename={"window": "suggestedWindow", "page": "explanationURL"}):
    """The RenewalInfo object."""

    window: WireWindow
    page: str = ""


def parse_suggestion(answer: Answer) -> Suggestion:
    """What an answer of status 200 says; ClientError for a window without time zone, or that ends before it begins."""
    found = parse_answer(answer.body, WireRenewalInfo)
    start, end = found.window.start, found.window.end
    if start.tzinfo is None or end.tzinfo is None or not start < end:
        raise ClientError("the CA's renewal window is none")
    page = "" if page_url_fault(found.page) else printable(found.page)
    return Suggestion(Window(start, end), answer.retry_after, page)
