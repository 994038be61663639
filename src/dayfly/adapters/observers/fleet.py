"""The names that are in use, kept from the events of issuance, for the survival clock.

Rules: one entry per name, its best certificate; a name that has been silent past two lifetimes goes; at most 200,000
names are followed, the rest is counted, so that memory is bounded.
"""

from __future__ import annotations

from collections.abc import Iterable

from dayfly.core.acme.objects import Certificate
from dayfly.core.events import CertificateIssued
from dayfly.core.fleet.forecast import Forecast, Life, forecast
from dayfly.core.identifiers import Identifier

MAX_NAMES = 200_000
OWN_PROVISIONER = ""  # the server's own certificate is no part of the fleet


class Fleet:
    """The names in use; not `complete` while those of before this start are still being read."""

    def __init__(self) -> None:
        """No name is known yet."""
        self.complete = True
        self._lives: dict[Identifier, Life] = {}
        self._best: dict[Identifier, int] = {}  # the row id of the certificate that a life is that of
        self.untracked = 0

    def load(self, certificates: Iterable[Certificate]) -> None:
        """Take up what was issued before this process started."""
        for certificate in certificates:
            if certificate.provisioner != OWN_PROVISIONER:
                life = Life(certificate.not_before.timestamp(), certificate.not_after.timestamp())
                self._keep(certificate.names, life, certificate.id)

    def add(self, event: CertificateIssued) -> float | None:
        """Take a new certificate up; the share of life that the older one of its first name had used, if any."""
        if event.provisioner == OWN_PROVISIONER:
            return None
        known = self._lives.get(event.names[0])
        if self._best.get(event.names[0]) == event.certificate_id:
            return None  # it was read from the store before it was told
        self._keep(event.names, Life(event.not_before.timestamp(), event.not_after.timestamp()), event.certificate_id)
        return None if known is None else known.used(event.at.timestamp())

    def revoke(self, certificate_id: int) -> None:
        """A revoked certificate vouches for no name any more."""
        for name in [name for name, best in self._best.items() if best == certificate_id]:
            del self._lives[name], self._best[name]

    def forecast(self, now: float) -> Forecast:
        """The figures as of `now` (Unix seconds); names that are retired by then are dropped."""
        retired = [name for name, life in self._lives.items() if life.is_retired(now)]
        for name in retired:
            del self._lives[name], self._best[name]
        return forecast(self._lives.values(), now)

    def _keep(self, names: tuple[Identifier, ...], life: Life, certificate_id: int) -> None:
        for name in names:
            known = self._lives.get(name)
            if known is None and len(self._lives) >= MAX_NAMES:
                self.untracked += 1
            elif known is None or known.not_after < life.not_after:
                self._lives[name] = life
                self._best[name] = certificate_id
