"""What an answer of the signing path counts as: its outcome and its reason, for the caller's and for our objective.

Rules: both are of closed sets; what is not known is ours to explain, and so an error where the status says so.
"""

from __future__ import annotations

from dayfly.core.events import (
    Outcome,
    Reason,
)

OTHER = "other"
"""The label of what is in no closed set."""

SIGNING_PATH = frozenset(
    {
        "acme_new_account",
        "acme_new_order",
        "acme_challenge",
        "acme_finalize",
        "acme_revoke",
        "sign",
        "renew",
        "rekey",
        "revoke",
    }
)

# What a refusal means for the caller's and for our objective; the key is the bare problem type.
_REASONS: dict[str, tuple[Outcome, Reason]] = {
    "rejectedIdentifier": (Outcome.DENIED, Reason.NAME_NOT_ALLOWED),
    "unsupportedIdentifier": (Outcome.DENIED, Reason.NAME_NOT_ALLOWED),
    "badCSR": (Outcome.DENIED, Reason.BAD_CSR),
    "badPublicKey": (Outcome.DENIED, Reason.KEY_NOT_ALLOWED),
    "unauthorized": (Outcome.DENIED, Reason.UNAUTHORIZED),
    "accountDoesNotExist": (Outcome.DENIED, Reason.UNAUTHORIZED),
    "externalAccountRequired": (Outcome.DENIED, Reason.UNAUTHORIZED),
    "caa": (Outcome.DENIED, Reason.CAA),
    "rateLimited": (Outcome.THROTTLED, Reason.RATE_LIMITED),
    "serverInternal": (Outcome.ERROR, Reason.INTERNAL),
}

_REASON_WORDS = frozenset(reason.value for reason in Reason)  # a refusal may bring its reason itself


def classify(status: int, problem: str | None) -> tuple[Outcome, Reason]:
    """Outcome and reason of an answer, both from their closed sets."""
    if status < 400:
        return Outcome.OK, Reason.OK
    if problem in _REASON_WORDS:
        return Outcome.DENIED, Reason(problem)
    if status == 401:
        return Outcome.DENIED, Reason.ACCOUNT_DISABLED
    if status == 404:
        return Outcome.DENIED, Reason.NOT_FOUND
    if problem in _REASONS:
        return _REASONS[problem]
    if status == 501:  # what was asked is not done here: nobody is to be woken
        return Outcome.DENIED, Reason.BAD_REQUEST
    return (Outcome.ERROR, Reason.INTERNAL) if status >= 500 else (Outcome.DENIED, Reason.BAD_REQUEST)
