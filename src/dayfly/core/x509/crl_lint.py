"""The lint that gates every CRL: reads the drafted bytes back and holds them against the plan (RFC 5280 5).

Rules: as in lint: its own reader, values and no pieces of the writer; it is the only maker of what a signer accepts;
what was checked can be taken once. A list that leaves out one entry, or says less than the plan, is refused.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import final

from dayfly.core.x509 import der
from dayfly.core.x509.crl import CRLPlan, DraftCRL, RevokedLeaf
from dayfly.core.x509.lint import Checked, LintRefused, need, sized
from dayfly.core.x509.profile import IssuerFacts
from dayfly.core.x509.reasons import REASON_CODES

_MAKER = object()
_AKI, _NUMBER, _IDP = (der.oid(f"2.5.29.{arc}") for arc in (35, 20, 28))
# The extensions of an entry: a reasonCode, not critical, with a reason that says something (RFC 5280 5.3.1).
_REASONS = {
    b"\x30\x0c\x30\x0a\x06\x03\x55\x1d\x15\x04\x03\x0a\x01" + bytes((code,)): code for code in REASON_CODES - {0}
}


@final
class CheckedCRL(Checked):
    """A list that passed."""

    __slots__ = ()
    _maker = _MAKER
    _lint = "crl_lint.check_crl"


def check_crl(draft: DraftCRL, plan: CRLPlan, issuer: IssuerFacts) -> CheckedCRL:
    """The same bytes as what a signer accepts; LintRefused where they are not what the plan says.

    1. The plan itself.  2. The fields, in order.  3. Every entry.  4. The extensions, and no other.
    """
    _check_plan(plan, issuer)
    try:
        _check_fields(draft.tbs, plan, issuer)
    except (ValueError, IndexError) as error:
        raise LintRefused(f"the draft is not well formed: {error}") from None
    return CheckedCRL(draft.tbs, maker=_MAKER)


def _check_plan(plan: CRLPlan, issuer: IssuerFacts) -> None:
    need(0 < plan.number < 1 << 159, "the number is none that a CRL can have")
    need(plan.this_update < plan.next_update, "it is over before it begins")
    need(plan.this_update <= issuer.not_after, "its issuer ended before it")
    need(plan.url.isascii() and plan.url.startswith("http://"), "its URL is not one of plain http")
    serials = [one.serial for one in plan.entries]
    need(serials == sorted(set(serials)), "its entries are not one for each serial, in order")
    need(all(one.reason in REASON_CODES for one in plan.entries), "a reason is none that a revocation here has")


def _check_fields(tbs: bytes, plan: CRLPlan, issuer: IssuerFacts) -> None:
    version, algorithm, name, this_update, next_update, *rest = der.read_all(der.read_one(tbs, der.SEQUENCE).content)
    need(version.whole == b"\x02\x01\x01", "the version is not 2")
    need(algorithm.whole == issuer.signature_algorithm, "the algorithm is not the issuer's")
    need(name.whole == issuer.subject, "the issuer's name is another one")
    need(_time(this_update) == plan.this_update, "thisUpdate is another one")
    need(_time(next_update) == plan.next_update, "nextUpdate is another one")
    need(len(rest) == (2 if plan.entries else 1), "it has entries where there are none, or none where there are some")
    found = tuple(map(_entry, der.read_all(der.read_one(rest[0].whole, der.SEQUENCE).content))) if rest[1:] else ()
    need(found == plan.entries, "its entries are others")
    need(rest[-1].tag == 0xA0, "the extensions are not where they belong")
    _check_extensions(der.read_one(rest[-1].content, der.SEQUENCE), plan, issuer)


@lru_cache(maxsize=4096)
def _moment(tag: int, content: bytes) -> datetime:
    """UTCTime until 2049, GeneralizedTime from 2050 (RFC 5280 5.1.2.4); many entries share one."""
    form = {der.UTC_TIME: "%y%m%d%H%M%SZ", der.GENERALIZED_TIME: "%Y%m%d%H%M%SZ"}.get(tag, "no time at all")
    moment = datetime.strptime(content.decode("ascii"), form).replace(tzinfo=UTC)
    need((moment.year >= 2050) is (tag == der.GENERALIZED_TIME), "a time has the wrong form")
    return moment


def _time(element: der.Element) -> datetime:
    return _moment(element.tag, element.content)


def _entry(element: der.Element) -> RevokedLeaf:
    need(element.tag == der.SEQUENCE, "an entry is none")
    serial, at, *more = der.read_all(element.content)
    reason = _REASONS.get(b"".join(one.whole for one in more)) if more else 0
    if reason is None:
        raise LintRefused("an entry has something else than its reason")
    return RevokedLeaf(der.read_integer(serial), _time(at), reason)


def _check_extensions(element: der.Element, plan: CRLPlan, issuer: IssuerFacts) -> None:
    url = plan.url.encode("ascii")
    name = b"\xa0" + sized(b"\xa0" + sized(b"\x86" + sized(url)))
    wanted = [
        (_AKI, False, b"\x30" + sized(b"\x80" + sized(issuer.key_id))),
        (_NUMBER, False, None),
        (_IDP, True, b"\x30" + sized(name + b"\x81\x01\xff")),
    ]
    found = der.read_all(element.content)
    need(len(found) == len(wanted), "an extension is missing, or one is extra")
    for one, (identifier, critical, value) in zip(found, wanted, strict=True):
        parts = der.read_all(der.read_one(one.whole, der.SEQUENCE).content)
        need(parts[0].whole == identifier, "an extension is another one")
        need(len(parts) == (3 if critical else 2), "an extension has another number of parts")
        need(not critical or parts[1].whole == b"\x01\x01\xff", "a criticality is not TRUE")
        content = der.read_one(parts[-1].whole, der.OCTET_STRING).content
        if value is None:
            need(der.read_integer(der.read_one(content, der.INTEGER)) == plan.number, "the number is another one")
        else:
            need(content == value, f"extension {identifier.hex()} is not what the plan says")
