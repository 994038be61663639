"""What an answer means for the metrics: whose fault it was, and why (observability.md)."""

from __future__ import annotations

import pytest

from dayfly.adapters.observers.outcomes import classify
from dayfly.core.events import Outcome, Reason


@pytest.mark.parametrize(
    ("status", "problem", "outcome", "reason"),
    [
        (201, None, Outcome.OK, Reason.OK),
        (401, "token_expired", Outcome.DENIED, Reason.TOKEN_EXPIRED),
        (401, "token_reused", Outcome.DENIED, Reason.TOKEN_REUSED),
        (401, "revoked", Outcome.DENIED, Reason.REVOKED),
        (401, "renew_disabled", Outcome.DENIED, Reason.RENEW_DISABLED),
        (401, "expired_too_long", Outcome.DENIED, Reason.EXPIRED_TOO_LONG),
        (401, "unauthorized", Outcome.DENIED, Reason.UNAUTHORIZED),
        (403, "lifetime_not_allowed", Outcome.DENIED, Reason.LIFETIME_NOT_ALLOWED),
        (403, "rejectedIdentifier", Outcome.DENIED, Reason.NAME_NOT_ALLOWED),
        (404, "malformed", Outcome.DENIED, Reason.NOT_FOUND),
        (429, "rateLimited", Outcome.THROTTLED, Reason.RATE_LIMITED),
        (501, "malformed", Outcome.DENIED, Reason.BAD_REQUEST),
        (500, "serverInternal", Outcome.ERROR, Reason.INTERNAL),
        (503, "anything", Outcome.ERROR, Reason.INTERNAL),
        (400, "malformed", Outcome.DENIED, Reason.BAD_REQUEST),
    ],
)
def test_an_answer_is_counted_by_whose_fault_it_was(
    status: int, problem: str, outcome: Outcome, reason: Reason
) -> None:
    """What a client asked wrongly is no error of ours, a 501 neither."""
    assert classify(status, problem) == (outcome, reason)
