"""The word of an operator that certificates shall renew before their time, kept in the settings.

Rules: it is one document however many certificates are meant, so that every process hears of it with the settings and
the log holds it; which those are and when each one's turn is follows from their rows (core/fleet/reissuing).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from dayfly.core.pages import page_url_fault
from dayfly.core.policy.rules import RuleError, parse_pattern
from dayfly.errors import ConfigError

LONGEST_SPREAD = timedelta(days=7)
SHORTEST_SPREAD = timedelta(seconds=1)
MAX_REISSUES = 100
MAX_CHOSEN = 32_768  # octets of serials, names and accounts in one of them: some 750 serials
MAX_REASON = 200

_ID = re.compile(r"i[1-9][0-9]{0,8}")


@dataclass(frozen=True, slots=True)
class Reissue:
    """These certificates renew from `at` on, spread over `within`.

    Each choice that is not empty must hold: `serials` (hex), `names` (whole ones or patterns), `accounts` (row ids in
    hex), `owner`, `provisioner`; `not_issuer` is the SHA-256 (hex) of the issuing certificate whose certificates are
    not meant. None of them at all means every certificate. `until` is when the last one that is meant ends.
    """

    id: str
    at: datetime
    within: timedelta
    until: datetime
    serials: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    owner: str = ""
    provisioner: str = ""
    not_issuer: str = ""
    reason: str = ""
    explanation_url: str = ""


def check_reissue(reissue: Reissue) -> None:
    """Raise ConfigError where it cannot be kept."""
    if _ID.fullmatch(reissue.id) is None:
        raise ConfigError("", f"{reissue.id[:40]!r} is no id of a reissue")
    if reissue.within and not SHORTEST_SPREAD <= reissue.within <= LONGEST_SPREAD:
        raise ConfigError("", f"the time to spread over is neither 0s nor between 1s and {LONGEST_SPREAD.days}d")
    if len(reissue.reason) > MAX_REASON or not reissue.reason.isprintable():
        raise ConfigError("", f"the reason is not {MAX_REASON} printable characters or fewer")
    if reissue.explanation_url and (fault := page_url_fault(reissue.explanation_url)):
        raise ConfigError("", fault)
    _check_chosen(reissue)


def _check_chosen(reissue: Reissue) -> None:
    if sum(len(one) + 3 for one in (*reissue.serials, *reissue.names, *reissue.accounts)) > MAX_CHOSEN:
        hint = "name fewer at a time, or choose by --owner or a pattern"
        raise ConfigError("", f"more serials, names and accounts than {MAX_CHOSEN} octets hold", hint=hint)
    for name in reissue.names:
        if name.startswith("*"):
            try:
                parse_pattern(name, what="the name")
            except RuleError as error:
                raise ConfigError("", error.message, hint=error.hint) from None
