"""The figures of the limits as ca.toml has them (acme.md part 13).

Rules: a limit's key is its name with underscores, as all keys are written; a rate is a count and the window in which it
is allowed, `3000/3h`; what is not said is the default; a figure so large that it would limit nothing is refused, since
for that there is a switch, and steps of less than a microsecond would be none.
"""

from __future__ import annotations

import re
from datetime import timedelta

import msgspec

from dayfly.core.policy.lifetimes import SECOND, parse_duration
from dayfly.core.policy.limits import DEFAULT_FIGURES, MOST_OPEN_ORDERS, LimitFigures, Rate

SHORTEST_WINDOW, LONGEST_WINDOW = SECOND, timedelta(days=30)
MOST_IN_A_WINDOW = 100_000  # a private source has ten times as many: a microsecond for each, within the shortest window
MOST_AUTHORIZATIONS = 1_000_000  # all names of all orders that may be open
MOST_IN_A_ROW = 100_000

_RATE = re.compile(r"(?P<count>0|[1-9][0-9]{0,8})/(?P<window>.{1,64})")


class LimitsTable(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The `[limits]` table as it is written."""

    enabled: bool = True
    requests: str = str(DEFAULT_FIGURES.requests)
    bad_credentials: str = str(DEFAULT_FIGURES.bad_credentials)
    bad_bindings: str = str(DEFAULT_FIGURES.bad_bindings)
    key_downloads: str = str(DEFAULT_FIGURES.key_downloads)
    new_accounts: str = str(DEFAULT_FIGURES.new_accounts)
    new_orders: str = str(DEFAULT_FIGURES.new_orders)
    refused_orders: str = str(DEFAULT_FIGURES.refused_orders)
    failed_validations: str = str(DEFAULT_FIGURES.failed_validations)
    certificates: str = str(DEFAULT_FIGURES.certificates)
    renewals: str = str(DEFAULT_FIGURES.renewals)
    open_orders: int = DEFAULT_FIGURES.open_orders
    pending_authorizations: int = DEFAULT_FIGURES.pending_authorizations
    paused: int = DEFAULT_FIGURES.paused


class FigureError(ValueError):
    """A figure that cannot be taken: its `key`, what was found and expected, and in `hint` how to write it."""

    def __init__(self, key: str, problem: str) -> None:
        """The hint is the default, as it is written."""
        super().__init__(problem)
        self.key = key
        default = getattr(DEFAULT_FIGURES, key)
        written = f'"{default}"' if isinstance(default, Rate) else str(default)
        self.hint = f"write it as the default is, {key} = {written}; [limits] enabled = false switches all limits off"


def parse_figures(table: LimitsTable) -> LimitFigures:
    """The figures of a table; FigureError for the first that cannot be taken."""
    return LimitFigures(
        requests=_rate("requests", table.requests),
        bad_credentials=_rate("bad_credentials", table.bad_credentials),
        bad_bindings=_rate("bad_bindings", table.bad_bindings),
        key_downloads=_rate("key_downloads", table.key_downloads),
        new_accounts=_rate("new_accounts", table.new_accounts),
        new_orders=_rate("new_orders", table.new_orders),
        refused_orders=_rate("refused_orders", table.refused_orders),
        failed_validations=_rate("failed_validations", table.failed_validations),
        certificates=_rate("certificates", table.certificates),
        renewals=_rate("renewals", table.renewals),
        open_orders=_count("open_orders", table.open_orders, most=MOST_OPEN_ORDERS),
        pending_authorizations=_count("pending_authorizations", table.pending_authorizations, most=MOST_AUTHORIZATIONS),
        paused=_count("paused", table.paused, most=MOST_IN_A_ROW),
    )


def _rate(key: str, text: str) -> Rate:
    match = _RATE.fullmatch(text)
    if match is None:
        raise FigureError(key, f"found {text[:80]!r}, expected COUNT/WINDOW, a whole number and a duration")
    count = _count(key, int(match["count"]), most=MOST_IN_A_WINDOW)
    try:
        window = parse_duration(match["window"])
    except ValueError as error:
        raise FigureError(key, f"found {text[:80]!r}, and {error}") from None
    if not SHORTEST_WINDOW <= window <= LONGEST_WINDOW or window % SECOND:
        raise FigureError(key, f"found a window of {match['window']}, expected 1s to 30d in whole seconds")
    return Rate(count, window)


def _count(key: str, count: int, *, most: int) -> int:
    if not 1 <= count <= most:
        raise FigureError(key, f"found a count of {count}, expected 1 to {most}")
    return count
