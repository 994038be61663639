"""The CA is asked when it wants the pair renewed (RFC 9773), beside the daemon's loop, which goes on to hear signals.

Rules: one question at a time, and never about a certificate that is no longer there; silence and garbage change nothing
but a line, said once until the CA speaks again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime

from dayfly.client.renewals import Suggestion
from dayfly.core.renewing import Life
from dayfly.core.schedule import Timing
from dayfly.core.steering import wait_to_ask
from dayfly.errors import DayflyError

Suggest = Callable[[], Suggestion | None]


class Asking:
    """What the CA says of one pair; `answered` is called in a thread once there is an answer, if only of none."""

    def __init__(self, suggest: Suggest, *, answered: Callable[[], None], say: Callable[[str], None]) -> None:
        """Nothing is asked yet."""
        self._suggest = suggest
        self._answered = answered
        self._say = say
        self._thread: threading.Thread | None = None
        self._outcome: Suggestion | DayflyError | None = None
        self.has_answer = False
        self._about: Life | None = None
        self._next: datetime | None = None
        self._is_silent = False

    def begin_if_time(self, life: Life, now: datetime) -> None:
        """Ask about the certificate with this life, where it is time to."""
        if self._thread is not None:
            return
        if life != self._about or self._next is None:
            self._about, self._next = life, now
        if now >= self._next:
            self._thread = threading.Thread(target=self._ask, name="renewal-info", daemon=True)
            self._thread.start()

    def take(self, life: Life, now: datetime) -> Suggestion | None:
        """The answer that there is, once; None where it says nothing, or nothing of a certificate with this life."""
        if self._thread is not None:
            self._thread.join()
        self._thread, self.has_answer, found = None, False, self._outcome
        if isinstance(found, DayflyError):
            self._complain(found)
            found = None
        else:
            self._is_silent = False
        wait = wait_to_ask(Timing.for_lifetime(life.length), None if found is None else found.retry_after)
        self._next = now + wait
        return found if life == self._about else None

    def _ask(self) -> None:
        try:
            self._outcome = self._suggest()
        except DayflyError as error:
            self._outcome = error
        except Exception as error:  # noqa: BLE001 - the edge of a thread: the loop must hear of it, and go on
            self._outcome = DayflyError(f"something unexpected happened ({type(error).__name__})")
        self.has_answer = True
        self._answered()

    def _complain(self, error: DayflyError) -> None:
        if not self._is_silent:
            self._say(f"the CA does not say when to renew: {error.message}; the usual window counts")
        self._is_silent = True
