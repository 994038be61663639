"""What a provisioner may give: lifetimes and renewals.

Rules: the three lifetimes are in order and within what the CA can do at all; step's words and step's defaults.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from dayfly.core.frozen import replace
from dayfly.core.policy.lifetimes import LONGEST_WITH_CRL, SHORTEST, LifetimeError, Lifetimes, check_lifetimes
from dayfly.errors import ConfigError

DEFAULT_MINIMUM = timedelta(minutes=5)  # step's defaults
DEFAULT_LIFETIME = timedelta(hours=24)
DEFAULT_MAXIMUM = timedelta(hours=24)
MAX_GRACE = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Claims:
    """What a provisioner may give: lifetimes, and whether its certificates renew.

    `renewal_grace` is how long after its end a certificate renews, where that is allowed at all; None is one lifetime
    of it. `disable_smallstep_extensions` leaves step's provisioner extension out.
    """

    min_lifetime: timedelta = DEFAULT_MINIMUM
    default_lifetime: timedelta = DEFAULT_LIFETIME
    max_lifetime: timedelta = DEFAULT_MAXIMUM
    disable_renewal: bool = False
    allow_renewal_after_expiry: bool = False
    renewal_grace: timedelta | None = None
    disable_smallstep_extensions: bool = False

    @property
    def lifetimes(self) -> Lifetimes:
        """The three lifetimes as policy takes them."""
        return Lifetimes(self.min_lifetime, self.default_lifetime, self.max_lifetime)


def make_claims(
    *,
    minimum: timedelta | None = None,
    default: timedelta | None = None,
    maximum: timedelta | None = None,
    base: Claims | None = None,
) -> Claims:
    """Claims from flags; where only the default is set outside minimum to maximum, they stretch to it (step's rule).

    What is not given is as in `base`. ConfigError where the three do not fit together.
    """
    before = base or Claims()
    shortest, longest = minimum or before.min_lifetime, maximum or before.max_lifetime
    usual = default or min(max(before.default_lifetime, shortest), longest)
    if minimum is None:
        shortest = min(shortest, usual)
    if maximum is None:
        longest = max(longest, usual)
    claims = replace(before, min_lifetime=shortest, default_lifetime=usual, max_lifetime=longest)
    check_claims(claims)
    return claims


def check_claims(claims: Claims) -> None:
    """Raise ConfigError where the lifetimes do not fit together, or the grace is too long."""
    if claims.renewal_grace is not None and not timedelta() <= claims.renewal_grace <= MAX_GRACE:
        raise ConfigError(
            "",
            f"the renewal grace is not between 0s and {MAX_GRACE.days}d",
            hint="shorten it: this is for machines that slept, not for ever",
        )
    try:
        check_lifetimes(claims.lifetimes)
    except LifetimeError as error:
        hint = f"choose lifetimes between {SHORTEST.total_seconds():.0f}s and {LONGEST_WITH_CRL.days}d, shortest first"
        raise ConfigError("", str(error), hint=hint) from None
