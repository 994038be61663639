"""What the CA says of when to renew, and what follows from it (agent.md 5, RFC 9773).

Rules: what is decided, core/steering decides; silence, garbage and an unknown word change nothing; what a window moved
is journalled before it is told.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from cryptography import x509

from dayfly.agent.failures import Failure
from dayfly.agent.layout import read_file
from dayfly.agent.standing import Standing
from dayfly.client.renewals import Suggestion, certificate_id
from dayfly.core.frozen import replace
from dayfly.core.renewing import Life
from dayfly.core.steering import LEAST_WAIT, followed_enough, steer, wait_to_ask


class Steering:
    """Asks about the pair in service, and moves its due point."""

    def __init__(self, standing: Standing) -> None:
        """Nothing was asked yet."""
        self._standing = standing
        self._generation = 0
        self._next: datetime | None = None

    def ask_if_time(self, now: datetime) -> datetime:
        """Ask where it is time to; when it is next."""
        generation = self._standing.generations.current()
        if generation != self._generation or self._next is None:
            self._generation, self._next = generation, now
        if generation and now >= self._next:
            self._next = now + self._ask(now)
        return max(self._next, now + LEAST_WAIT / 10)

    def _ask(self, now: datetime) -> timedelta:
        """Ask once; how long to wait then."""
        standing, tools = self._standing, self._standing.tools
        try:
            found = tools.issuer.renewal_info(name_of(standing))
        except Failure as failure:
            tools.meters.ca_requests.labels("failure", failure.reason).inc()
            return wait_to_ask(standing.pace())
        if found is None:
            return wait_to_ask(standing.pace())
        tools.meters.ca_requests.labels("success", "").inc()
        self._follow(found, now)
        return wait_to_ask(standing.pace(), found.retry_after)

    def _follow(self, found: Suggestion, now: datetime) -> None:
        standing, meta = self._standing, self._standing.meta()
        due = standing.progress.due
        if meta is None or due is None:
            return
        life = Life(meta.not_before, meta.not_after)
        moved = steer(found.window, life, due, now=now, jitter=standing.tools.clock.jitter())
        if moved is None or (moved < due and followed_enough(standing.progress.issued, life.length, now=now)):
            return
        standing.save(replace(standing.progress, due=moved), now)
        standing.tools.say(
            "ari",
            certificate=standing.settings.name,
            text=f"the CA moved its renewal: {found.explanation_url or 'it gives no reason'}",
            next_attempt=moved,
        )
        standing.publish(now)


def name_of(standing: Standing) -> str:
    """What RFC 9773 4.1 calls the certificate in service; "" where there is none that can be read."""
    generation = standing.generations.current()
    text = read_file(standing.generations.path(generation) / "cert.pem") if generation else None
    if text is None:
        return ""
    try:
        leaf = x509.load_pem_x509_certificate(text)
    except ValueError:
        return ""
    return certificate_id(leaf)
