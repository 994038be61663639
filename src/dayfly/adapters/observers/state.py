"""What is read of a CA at scrape time: its checks, its own certificates, its fleet, its lists.

Rules: nothing here counts; what has no value yet has no series.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client.core import Metric

from dayfly.adapters.observers.families import gauge
from dayfly.core.fleet.forecast import Forecast


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


def collect_state(state: State, authority: str) -> Iterator[Metric]:
    """What the process is and has, as of now; `authority` is the CA's name."""
    yield gauge(
        "dayfly_ca_ready",
        "1 where the check of /readyz passes.",
        ("check",),
        {(name,): float(passed) for name, passed in state.checks().items()},
    )
    authorities = [((authority, role, "active"), begin, end) for role, begin, end in state.authorities()]
    labels = ("authority", "role", "state")
    yield gauge(
        "dayfly_ca_authority_not_after_timestamp_seconds",
        "End of validity of the CA's own certificates.",
        labels,
        {key: end for key, _, end in authorities},
    )
    yield gauge(
        "dayfly_ca_authority_not_before_timestamp_seconds",
        "Begin of validity of the CA's own certificates.",
        labels,
        {key: begin for key, begin, _ in authorities},
    )
    yield gauge("dayfly_ca_inflight_requests", "Requests under way.", ("op",), {("all",): float(state.inflight())})
    yield gauge("dayfly_ca_log_size", "Entries in the append-only log.", (), {(): float(state.log_size())})
    yield gauge(
        "dayfly_ca_provisioner_max_lifetime_seconds",
        "Longest lifetime that the provisioner gives.",
        ("provisioner",),
        {(name,): longest for name, _, _, longest in state.provisioners()},
    )
    yield gauge(
        "dayfly_ca_provisioner_info",
        "The provisioners there are.",
        ("provisioner", "type", "enabled"),
        {(name, kind, str(enabled).lower()): 1.0 for name, kind, enabled, _ in state.provisioners()},
    )

    crl = state.crl()
    if crl is not None:
        yield from _collect_crl(authority, *crl)


def _collect_crl(authority: str, this_update: float, next_update: float, entries: int) -> Iterator[Metric]:
    """Over all partitions: the earliest times, and the sum."""
    labels, key = ("authority",), (authority,)
    yield gauge(
        "dayfly_ca_crl_this_update_timestamp_seconds",
        "thisUpdate of the oldest CRL among the partitions.",
        labels,
        {key: this_update},
    )
    yield gauge(
        "dayfly_ca_crl_next_update_timestamp_seconds",
        "nextUpdate of the CRL that ends first among the partitions.",
        labels,
        {key: next_update},
    )
    yield gauge("dayfly_ca_crl_entries", "Entries of all CRLs together.", labels, {key: float(entries)})


def collect_fleet(figures: Forecast) -> Iterator[Metric]:
    """What is forecast of the fleet."""
    yield gauge(
        "dayfly_ca_names",
        "Active names, each by the best certificate it has.",
        ("state",),
        {(state,): float(count) for state, count in figures.names.items()},
    )
    yield gauge(
        "dayfly_ca_names_expiring",
        "Names left without a live certificate within so many seconds, if nothing renews.",
        ("within_seconds",),
        {(str(horizon),): float(count) for horizon, count in figures.expiring.items()},
    )
    yield gauge(
        "dayfly_ca_fleet_expiry_timestamp_seconds",
        "When this share of the names has expired, if nothing renews: the survival clock.",
        ("quantile",),
        {(f"{share:g}",): moment for share, moment in figures.expiry.items()},
    )
    yield gauge(
        "dayfly_ca_names_due",
        "Names past two thirds of their certificate's life, and still live: their renewals should have come.",
        (),
        {(): float(figures.due)},
    )
    yield gauge(
        "dayfly_ca_expected_renewals_per_second",
        "Active certificates by their planned due points.",
        (),
        {(): figures.expected_renewals_per_second},
    )
