"""The CA's metrics: plain counters fed by events and answers, exposed by a custom collector at scrape.

Rules: labels are closed sets, an unknown value becomes `other`; never a serial, a name or an address; what has no
value has no series; names and meanings are those of docs/reference/metrics.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import get_args

from prometheus_client.core import Metric

from dayfly.adapters.observers.families import Histogram, build_info, counter, histogram
from dayfly.adapters.observers.fleet import Fleet
from dayfly.adapters.observers.outcomes import OTHER, classify
from dayfly.adapters.observers.state import State, collect_fleet, collect_state
from dayfly.core.events import (
    CertificateIssued,
    CertificateRevoked,
    ChallengeSettled,
    ConnectionsShed,
    Event,
    IssueKind,
    LoggedEvent,
    OrderCreated,
    Throttled,
)

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
LIFE_SHARES = (0.3, 0.4, 0.5, 0.6, 0.66, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)

_LOGGED = frozenset(get_args(LoggedEvent))
MOST_PROVISIONERS = 1_000  # labels since the start, those of provisioners that are gone included


class Metrics:
    """Counts events and answers; a Prometheus collector."""

    def __init__(self, fleet: Fleet, authority: str) -> None:
        """`authority` is the CA's name, the value of that label."""
        self._fleet = fleet
        self._authority = authority
        self._requests: Counter[tuple[str, str, str, str]] = Counter()
        self._provisioners: set[str] = set()
        self._durations: dict[tuple[str, str], Histogram] = {}
        self._issued: Counter[tuple[str, str, str]] = Counter()
        self._challenges: Counter[tuple[str, str, str]] = Counter()
        self._challenge_seconds: dict[str, Histogram] = {}
        self._life_used: dict[str, Histogram] = {}
        self._logged: Counter[str] = Counter()
        self._revoked: Counter[str] = Counter()
        self._throttled: Counter[str] = Counter()
        self._near: Counter[str] = Counter()
        self._shed: Counter[str] = Counter()
        self._orders = 0
        self.state: State | None = None

    # --- what happens ---------------------------------------------------------------------------------------------

    def notify(self, events: Sequence[Event]) -> None:
        """Count committed events."""
        for event in events:
            kind = type(event)
            if kind in _LOGGED:
                self._logged[kind.__name__] += 1
            if isinstance(event, CertificateIssued):
                self._count_issued(event)
            elif isinstance(event, CertificateRevoked):
                self._fleet.revoke(event.certificate_id)
                self._revoked[str(event.reason)] += 1
            elif isinstance(event, ChallengeSettled):
                self._count_challenge(event)
            elif isinstance(event, OrderCreated):
                self._orders += 1
            elif isinstance(event, Throttled):
                (self._near if event.near else self._throttled)[event.limit] += 1
            elif isinstance(event, ConnectionsShed):
                self._shed[event.reason] += event.count

    def handled(self, op: str, provisioner: str, *, status: int, problem: str | None, seconds: float) -> None:
        """Count one answer of the signing path; `problem` is the bare problem type of a refusal."""
        outcome, reason = classify(status, problem)
        self._requests[op, self._label(provisioner), outcome, reason] += 1
        durations = self._durations.get((op, outcome))
        if durations is None:
            durations = self._durations[op, outcome] = Histogram(SECONDS)
        durations.observe(seconds)

    def _label(self, provisioner: str) -> str:
        """Its name; OTHER for the names that come when there are too many: the caller knows names, this one a bound."""
        if len(self._provisioners) < MOST_PROVISIONERS:
            self._provisioners.add(provisioner)
        return provisioner if provisioner in self._provisioners else OTHER

    def _count_issued(self, event: CertificateIssued) -> None:
        used = self._fleet.add(event)
        # A stock ACME client cannot say that it renews; that the name has a certificate already says it.
        kind = IssueKind.RENEW if used is not None and event.kind is IssueKind.NEW else event.kind
        self._issued[event.provisioner, event.profile, kind] += 1
        if used is not None:
            self._life_used.setdefault(event.provisioner, Histogram(LIFE_SHARES)).observe(used)

    def _count_challenge(self, event: ChallengeSettled) -> None:
        self._challenges[event.type, event.outcome, event.reason] += 1
        self._challenge_seconds.setdefault(event.type, Histogram(SECONDS)).observe(event.seconds)

    # --- what is scraped ------------------------------------------------------------------------------------------

    def collect(self) -> Iterator[Metric]:
        """All families; called by prometheus-client at each scrape."""
        yield from self._collect_requests()
        yield from self._collect_certificates()
        yield from self._collect_challenges()
        yield from self._collect_limits()
        yield build_info()
        if self.state is not None:
            if self._fleet.complete:  # what has no value yet has no series
                yield from collect_fleet(self._fleet.forecast(self.state.now()))
            yield from collect_state(self.state, self._authority)

    def _collect_requests(self) -> Iterator[Metric]:
        yield counter(
            "dayfly_ca_requests",
            "Requests of the signing path.",
            ("op", "provisioner", "outcome", "reason"),
            self._requests,
        )
        yield histogram(
            "dayfly_ca_request_duration_seconds",
            "Time from request to answer on the signing path.",
            ("op", "outcome"),
            self._durations,
        )

    def _collect_certificates(self) -> Iterator[Metric]:
        yield counter(
            "dayfly_ca_issued",
            "Certificates committed; kind renew where the name had one already.",
            ("provisioner", "profile", "kind"),
            self._issued,
        )
        yield counter(
            "dayfly_ca_revoked",
            "Certificates revoked, by reason code (RFC 5280 5.3.1).",
            ("reason",),
            {(reason,): count for reason, count in self._revoked.items()},
        )
        yield histogram(
            "dayfly_ca_renewal_life_used_ratio",
            "Share of life used when the renewal came.",
            ("provisioner",),
            {(provisioner,): one for provisioner, one in self._life_used.items()},
        )
        yield counter(
            "dayfly_ca_audit_events",
            "Entries written to the append-only log.",
            ("type",),
            {(kind,): count for kind, count in self._logged.items()},
        )

    def _collect_challenges(self) -> Iterator[Metric]:
        yield counter(
            "dayfly_ca_acme_challenge",
            "Challenges settled.",
            ("type", "outcome", "reason"),
            self._challenges,
        )
        yield histogram(
            "dayfly_ca_acme_challenge_duration_seconds",
            "Time from answer to outcome of a challenge.",
            ("type",),
            {(kind,): one for kind, one in self._challenge_seconds.items()},
        )

    def _collect_limits(self) -> Iterator[Metric]:
        yield counter(
            "dayfly_ca_throttled",
            "Requests that a limit refused (429).",
            ("limit",),
            {(limit,): count for limit, count in self._throttled.items()},
        )
        yield counter(
            "dayfly_ca_near_limit",
            "Warnings that a fifth of a limit is used up; at most one a day for each key of the limit.",
            ("limit",),
            {(limit,): count for limit, count in self._near.items()},
        )
        yield counter(
            "dayfly_ca_connections_shed",
            "Connections refused, or closed before their time, and why.",
            ("reason",),
            {(reason,): count for reason, count in self._shed.items()},
        )
