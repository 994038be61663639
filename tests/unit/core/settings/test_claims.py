"""What a provisioner may give: step's defaults, and lifetimes that fit together."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from dayfly.core.settings.claims import Claims, make_claims
from dayfly.errors import ConfigError

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


def test_claims_default_to_step_s__step_compat_10() -> None:
    """5 m, 24 h, 24 h; certificates renew, and not after expiry."""
    assert make_claims() == Claims() == Claims(5 * MINUTE, 24 * HOUR, 24 * HOUR)


@pytest.mark.parametrize(
    ("asked", "made"),
    [
        ({"default": MINUTE}, (MINUTE, MINUTE, 24 * HOUR)),
        ({"default": 48 * HOUR}, (5 * MINUTE, 48 * HOUR, 48 * HOUR)),
        ({"default": HOUR}, (5 * MINUTE, HOUR, 24 * HOUR)),
        ({"maximum": HOUR}, (5 * MINUTE, HOUR, HOUR)),
        ({"maximum": MINUTE}, (MINUTE, MINUTE, MINUTE)),
        ({"minimum": 10 * SECOND, "default": MINUTE, "maximum": HOUR}, (10 * SECOND, MINUTE, HOUR)),
        ({"maximum": timedelta(days=7)}, (5 * MINUTE, 24 * HOUR, timedelta(days=7))),
    ],
)
def test_what_is_not_set_stretches_to_what_is__step_compat_10(
    asked: dict[str, Any], made: tuple[timedelta, ...]
) -> None:
    """Only the default outside the bounds moves a bound that was not set."""
    found = make_claims(**asked)
    assert (found.min_lifetime, found.default_lifetime, found.max_lifetime) == made


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"minimum": 9 * SECOND}, "floor is 10s"),
        ({"default": 9 * SECOND}, "floor is 10s"),
        ({"maximum": timedelta(days=398) + SECOND}, "ceiling"),
        ({"default": timedelta(days=399)}, "ceiling"),
        ({"minimum": HOUR, "default": MINUTE}, "must rise"),
        ({"default": 2 * HOUR, "maximum": HOUR}, "must rise"),
        ({"minimum": 2 * HOUR, "maximum": HOUR}, "must rise"),
        ({"minimum": 36 * HOUR}, "must rise"),
    ],
)
def test_claims_that_do_not_fit_are_refused__step_compat_10(asked: dict[str, Any], why: str) -> None:
    """Floor 10 s, at most 7 d until CRLs exist, and in order; the hint says what to choose."""
    with pytest.raises(ConfigError, match=why) as caught:
        make_claims(**asked)
    assert "10s" in caught.value.hint
