"""The issue-value of CAA and dns-persist-01: an issuer's domain name and parameters (RFC 8659 4.2).

Rules: the grammar is the RFC's and nothing is mended; tags and domain names have no case; a value of any other form
names nobody.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_VALUE = 4_096  # octets: far more than an account's URL takes

_DOMAIN = r"[A-Za-z0-9](?:-*[A-Za-z0-9])*(?:\.[A-Za-z0-9](?:-*[A-Za-z0-9])*)*"
# White space is stripped before and not matched: two patterns that could share it would take the square of its length.
_BLANK = " \t"
_VALUE = re.compile(rf"(?P<issuer>{_DOMAIN})?[ \t]*(?:;(?P<parameters>.*))?")
_PARAMETER = re.compile(r"(?P<tag>[A-Za-z0-9](?:-*[A-Za-z0-9])*)[ \t]*=[ \t]*(?P<value>[!-:<-~]*)")


@dataclass(frozen=True, slots=True)
class IssueValue:
    """An issuer's domain name in lower case, "" for nobody, and parameters: tags in lower case, in order."""

    issuer: str
    parameters: tuple[tuple[str, str], ...] = ()

    def values(self, tag: str) -> tuple[str, ...]:
        """The values of the parameters with this tag."""
        return tuple(value for name, value in self.parameters if name == tag)

    @property
    def has_duplicates(self) -> bool:
        """Does a tag stand twice?"""
        tags = [name for name, _ in self.parameters]
        return len(set(tags)) < len(tags)


def parse_issue_value(text: bytes) -> IssueValue | None:
    """The issue-value in `text`; None where it is none, or above MAX_VALUE."""
    if len(text) > MAX_VALUE or not text.isascii():
        return None
    match = _VALUE.fullmatch(text.decode("ascii").strip(_BLANK))
    if match is None:
        return None
    issuer = (match["issuer"] or "").lower()
    told = (match["parameters"] or "").strip(_BLANK)
    if not told:
        return IssueValue(issuer)
    found = [_PARAMETER.fullmatch(one.strip(_BLANK)) for one in told.split(";")]
    parameters = [(one["tag"].lower(), one["value"]) for one in found if one is not None]
    return IssueValue(issuer, tuple(parameters)) if len(parameters) == len(found) else None
