"""What the CA says of when to renew, and what follows from it (agent.md 5, RFC 9773).

Rules: the CA is asked when its last answer said so, and not more often than is good for it; it is obeyed both ways, but
never past the point where too little life is left; silence, garbage and an unknown word change nothing; a CA that asks
for renewals over and over is not followed a third time, so that its fault cannot use up what the loop breaker allows.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from dayfly.agent import pacing
from dayfly.agent.failures import Failure
from dayfly.agent.layout import read_file
from dayfly.agent.standing import Standing
from dayfly.client.renewals import Suggestion
from dayfly.core.acme.renewal_info import render_certificate_id
from dayfly.core.frozen import replace
from dayfly.core.x509.leaf import authority_key_id

_LEAST_WAIT = timedelta(seconds=10)  # a certificate of a minute is asked about thrice before its time
_MOST_WAIT = timedelta(hours=6)
_MOST_FOLLOWED = 2  # of the three issuances in half a life that the loop breaker allows


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
        return max(self._next, now + _LEAST_WAIT / 10)

    def _ask(self, now: datetime) -> timedelta:
        """Ask once; how long to wait then."""
        standing, tools = self._standing, self._standing.tools
        usual = max(standing.pace().ari_retry_after, _LEAST_WAIT)
        try:
            found = tools.issuer.renewal_info(name_of(standing))
        except Failure as failure:
            tools.meters.ca_requests.labels("failure", failure.reason).inc()
            return usual
        if found is None:
            return usual
        tools.meters.ca_requests.labels("success", "").inc()
        self._follow(found, now)
        asked = timedelta(seconds=found.retry_after) if found.retry_after is not None else usual
        return min(max(asked, _LEAST_WAIT), _MOST_WAIT)

    def _follow(self, found: Suggestion, now: datetime) -> None:
        standing, meta = self._standing, self._standing.meta()
        due = standing.progress.due
        if meta is None or due is None:
            return
        moved = pacing.steer(found.window, meta, due, now=now, jitter=standing.tools.clock.jitter())
        if moved is None or (moved < due and self._followed_enough(now, meta.lifetime)):
            return
        standing.save(replace(standing.progress, due=moved), now)
        standing.tools.say(
            "ari",
            certificate=standing.settings.name,
            text=f"the CA moved its renewal: {found.explanation_url or 'it gives no reason'}",
            next_attempt=moved,
        )
        standing.publish(now)

    def _followed_enough(self, now: datetime, life: float) -> bool:
        half = timedelta(seconds=life / 2)
        recent = [one for one in self._standing.progress.issued if timedelta() <= now - one < half]
        return len(recent) >= _MOST_FOLLOWED


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
    return render_certificate_id(authority_key_id(leaf.public_bytes(Encoding.DER)), leaf.serial_number)
