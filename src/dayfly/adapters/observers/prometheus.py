"""The CA's metrics: plain counters fed by events and answers, exposed by a custom collector at scrape.

Rules: labels are closed sets, an unknown value becomes `other`; never a serial, a name or an address; what has no
value has no series; names and meanings are those of docs/reference/metrics.md.
"""

from __future__ import annotations

import bisect
import platform
import ssl
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

import cryptography
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from dayfly import __version__
from dayfly.adapters.observers.fleet import Fleet
from dayfly.core.events import (
    CertificateIssued,
    CertificateRevoked,
    ChallengeSettled,
    Event,
    IssueKind,
    LoggedEvent,
    OrderCreated,
    Outcome,
    Reason,
    Throttled,
)

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
LIFE_SHARES = (0.3, 0.4, 0.5, 0.6, 0.66, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)

_LOGGED = frozenset(get_args(LoggedEvent))

OTHER = "other"
"""The label of what is in no closed set."""
MOST_PROVISIONERS = 1_000  # labels since the start, those of provisioners that are gone included

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


@dataclass(slots=True)
class Histogram:
    """Counts by bucket, the last one for what lies above all bounds."""

    bounds: tuple[float, ...]
    counts: list[int] = field(default_factory=list)
    total: float = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        if not self.counts:
            self.counts = [0] * (len(self.bounds) + 1)
        self.counts[bisect.bisect_left(self.bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative, as Prometheus wants them."""
        running, rows = 0, []
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            running += count
            rows.append((bound, float(running)))
        return rows


@dataclass(frozen=True, slots=True)
class State:
    """What is read at scrape time, by functions that wiring provides."""

    now: Callable[[], float]
    checks: Callable[[], dict[str, bool]]
    authorities: Callable[[], Sequence[tuple[str, float, float]]]
    inflight: Callable[[], int]
    log_size: Callable[[], int]
    provisioners: Callable[[], Sequence[tuple[str, str, bool, float]]]
    crl: Callable[[], tuple[float, float, int] | None] = lambda: None


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

    def handled(self, op: str, provisioner: str, *, status: int, problem: str | None, seconds: float) -> None:
        """Count one answer of the signing path; `problem` is the bare problem type of a refusal."""
        outcome, reason = classify(status, problem)
        self._requests[op, self._label(provisioner), outcome, reason] += 1
        histogram = self._durations.get((op, outcome))
        if histogram is None:
            histogram = self._durations[op, outcome] = Histogram(SECONDS)
        histogram.observe(seconds)

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
        yield _counter(
            "dayfly_ca_requests",
            "Requests of the signing path.",
            ("op", "provisioner", "outcome", "reason"),
            self._requests,
        )
        yield _histogram(
            "dayfly_ca_request_duration_seconds",
            "Time from request to answer on the signing path.",
            ("op", "outcome"),
            self._durations,
        )
        yield _counter(
            "dayfly_ca_issued",
            "Certificates committed; kind renew where the name had one already.",
            ("provisioner", "profile", "kind"),
            self._issued,
        )
        yield _counter(
            "dayfly_ca_revoked",
            "Certificates revoked, by reason code (RFC 5280 5.3.1).",
            ("reason",),
            {(reason,): count for reason, count in self._revoked.items()},
        )
        yield _histogram(
            "dayfly_ca_renewal_life_used_ratio",
            "Share of life used when the renewal came.",
            ("provisioner",),
            {(provisioner,): histogram for provisioner, histogram in self._life_used.items()},
        )
        yield _counter(
            "dayfly_ca_acme_challenge",
            "Challenges settled.",
            ("type", "outcome", "reason"),
            self._challenges,
        )
        yield _histogram(
            "dayfly_ca_acme_challenge_duration_seconds",
            "Time from answer to outcome of a challenge.",
            ("type",),
            {(kind,): histogram for kind, histogram in self._challenge_seconds.items()},
        )
        yield _counter(
            "dayfly_ca_audit_events",
            "Entries written to the append-only log.",
            ("type",),
            {(kind,): count for kind, count in self._logged.items()},
        )
        yield _counter(
            "dayfly_ca_throttled",
            "Requests that a limit refused (429).",
            ("limit",),
            {(limit,): count for limit, count in self._throttled.items()},
        )
        yield _counter(
            "dayfly_ca_near_limit",
            "Warnings that a fifth of a limit is used up; at most one a day for each key of the limit.",
            ("limit",),
            {(limit,): count for limit, count in self._near.items()},
        )
        yield _build_info()
        if self.state is not None:
            yield from self._collect_state(self.state)

    def _collect_state(self, state: State) -> Iterator[Metric]:
        now = state.now()
        if self._fleet.complete:  # what has no value yet has no series
            yield from self._collect_fleet(now)
        yield _gauge(
            "dayfly_ca_ready",
            "1 where the check of /readyz passes.",
            ("check",),
            {(name,): float(passed) for name, passed in state.checks().items()},
        )
        authorities = [((self._authority, role, "active"), begin, end) for role, begin, end in state.authorities()]
        labels = ("authority", "role", "state")
        yield _gauge(
            "dayfly_ca_authority_not_after_timestamp_seconds",
            "End of validity of the CA's own certificates.",
            labels,
            {key: end for key, _, end in authorities},
        )
        yield _gauge(
            "dayfly_ca_authority_not_before_timestamp_seconds",
            "Begin of validity of the CA's own certificates.",
            labels,
            {key: begin for key, begin, _ in authorities},
        )
        yield _gauge("dayfly_ca_inflight_requests", "Requests under way.", ("op",), {("all",): float(state.inflight())})
        yield _gauge("dayfly_ca_log_size", "Entries in the append-only log.", (), {(): float(state.log_size())})
        yield _gauge(
            "dayfly_ca_provisioner_max_lifetime_seconds",
            "Longest lifetime that the provisioner gives.",
            ("provisioner",),
            {(name,): longest for name, _, _, longest in state.provisioners()},
        )
        yield _gauge(
            "dayfly_ca_provisioner_info",
            "The provisioners there are.",
            ("provisioner", "type", "enabled"),
            {(name, kind, str(enabled).lower()): 1.0 for name, kind, enabled, _ in state.provisioners()},
        )

        crl = state.crl()
        if crl is not None:
            yield from self._collect_crl(*crl)

    def _collect_crl(self, this_update: float, next_update: float, entries: int) -> Iterator[Metric]:
        """Over all partitions: the earliest times, and the sum."""
        labels, key = ("authority",), (self._authority,)
        yield _gauge(
            "dayfly_ca_crl_this_update_timestamp_seconds",
            "thisUpdate of the oldest CRL among the partitions.",
            labels,
            {key: this_update},
        )
        yield _gauge(
            "dayfly_ca_crl_next_update_timestamp_seconds",
            "nextUpdate of the CRL that ends first among the partitions.",
            labels,
            {key: next_update},
        )
        yield _gauge("dayfly_ca_crl_entries", "Entries of all CRLs together.", labels, {key: float(entries)})

    def _collect_fleet(self, now: float) -> Iterator[Metric]:
        figures = self._fleet.forecast(now)
        yield _gauge(
            "dayfly_ca_names",
            "Active names, each by the best certificate it has.",
            ("state",),
            {(state,): float(count) for state, count in figures.names.items()},
        )
        yield _gauge(
            "dayfly_ca_names_expiring",
            "Names left without a live certificate within so many seconds, if nothing renews.",
            ("within_seconds",),
            {(str(horizon),): float(count) for horizon, count in figures.expiring.items()},
        )
        yield _gauge(
            "dayfly_ca_fleet_expiry_timestamp_seconds",
            "When this share of the names has expired, if nothing renews: the survival clock.",
            ("quantile",),
            {(f"{share:g}",): moment for share, moment in figures.expiry.items()},
        )
        yield _gauge(
            "dayfly_ca_names_due",
            "Names past two thirds of their certificate's life, and still live: their renewals should have come.",
            (),
            {(): float(figures.due)},
        )
        yield _gauge(
            "dayfly_ca_expected_renewals_per_second",
            "Active certificates by their planned due points.",
            (),
            {(): figures.expected_renewals_per_second},
        )


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


def _counter(name: str, text: str, labels: tuple[str, ...], rows: Mapping[Any, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for key, count in rows.items():
        family.add_metric(key, count)
    return family


def _gauge(name: str, text: str, labels: tuple[str, ...], rows: Mapping[Any, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for key, value in rows.items():
        family.add_metric(key, value)
    return family


def _histogram(name: str, text: str, labels: tuple[str, ...], rows: Mapping[Any, Histogram]) -> Metric:
    family = HistogramMetricFamily(name, text, labels=labels)
    for key, histogram in rows.items():
        family.add_metric(key, histogram.buckets(), histogram.total)
    return family


def _build_info() -> Metric:
    versions = (__version__, platform.python_version(), ssl.OPENSSL_VERSION, cryptography.__version__)
    return _gauge(
        "dayfly_ca_build_info", "Versions.", ("version", "python", "openssl", "cryptography"), {versions: 1.0}
    )
