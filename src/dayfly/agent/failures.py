"""Why an attempt failed, sorted by who mends it (agent.md 6).

Rules: the class decides the retry and the exit code; the code is of a closed set and becomes a metric's label; the text
is for a person, and whatever a CA said in it is printable.
"""

from __future__ import annotations

from dayfly.core.schedule import RetryClass as FailureClass
from dayfly.errors import AgentError

__all__ = ["Failure", "FailureClass", "failure_of", "printable"]


class Failure(AgentError):
    """An attempt failed.

    `retry_after` is in seconds, 0 where the CA named none. `order_lost` says that the order will never give a
    certificate, so that the next attempt makes a new one.
    """

    def __init__(
        self,
        kind: FailureClass,
        code: str,
        message: str,
        *,
        retry_after: float = 0.0,
        order_lost: bool = False,
        hint: str = "",
    ) -> None:
        """Keep the class beside the code and the text."""
        super().__init__(code, printable(message), hint=hint)
        self.kind = kind
        self.retry_after = retry_after
        self.order_lost = order_lost


#: AgentErrors of these codes need a person; the others of the agent's own mend when their cause does.
_PERSON = frozenset({"foreign-change"})


def failure_of(error: Exception) -> Failure:
    """Any error of an attempt as a failure; what the machine could not do is local."""
    if isinstance(error, Failure):
        return error
    if isinstance(error, AgentError):
        kind = FailureClass.IDENTITY if error.reason in _PERSON else FailureClass.LOCAL
        return Failure(kind, error.reason, error.message, hint=error.hint)
    text = getattr(error, "strerror", None) or str(error)
    where = getattr(error, "filename", None)
    return Failure(FailureClass.LOCAL, "system", f"{text}: {where}" if where else text)


def printable(text: str) -> str:
    """The text on one line, control characters escaped, at most 500 characters."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)[:500]
