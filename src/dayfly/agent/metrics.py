"""The agent's metrics (observability.md 3): gauges read from the board, counters kept here.

Rules: a value that is not known is no series; labels are names of certificates, targets and codes of closed sets, never
serials or what a CA wrote; the scrape reads snapshots and never waits for the work.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime

import cryptography
from cryptography.hazmat.backends.openssl import backend
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from dayfly import __version__
from dayfly.agent.probing import TargetResult
from dayfly.agent.status import Board, CertificateStatus
from dayfly.core.deployment.states import State

_PREFIX = "dayfly_agent_"
_CERT = ("cert",)
_TARGET = ("cert", "target")


class Meters:
    """Counters and histograms, in a registry of their own; `loop_completed` is set by the loop."""

    def __init__(self) -> None:
        """Begin with no series."""
        self.registry = CollectorRegistry()
        self.loop_completed: datetime | None = None
        self.renewals = Counter(
            f"{_PREFIX}renewals", "Renewals, by how they ended.", ("cert", "outcome", "reason"), registry=self.registry
        )
        self.phases = Histogram(
            f"{_PREFIX}renewal_phase_duration_seconds", "Time of each phase.", ("phase",), registry=self.registry
        )
        self.hooks = Counter(
            f"{_PREFIX}hook_runs", "Reloads, by how they ended.", ("cert", "hook", "outcome"), registry=self.registry
        )
        self.ca_requests = Counter(
            f"{_PREFIX}ca_requests", "Conversations with the CA.", ("outcome", "reason"), registry=self.registry
        )
        self.clock_steps = Counter(f"{_PREFIX}clock_steps", "Jumps of the wall clock.", registry=self.registry)


class BoardCollector(Collector):
    """Gauges made from the board at each scrape."""

    def __init__(self, board: Board, meters: Meters) -> None:
        """Read `board`, and of the meters what the loop says of itself."""
        self._board = board
        self._meters = meters

    def collect(self) -> Iterable[Metric]:
        """All gauge families that have a value."""
        status = self._board.read()
        for family in (*_of_certificates(status.certificates), *_of_targets(status.certificates)):
            if family.samples:
                yield family
        yield from self._of_agent(status.ca_last_success)

    def _of_agent(self, ca_last_success: datetime | None) -> Iterator[Metric]:
        labels = {
            "version": __version__,
            "python": platform.python_version(),
            "openssl": backend.openssl_version_text(),
            "cryptography": cryptography.__version__,
        }
        build = GaugeMetricFamily(f"{_PREFIX}build_info", "What runs.", labels=tuple(labels))
        build.add_metric(tuple(labels.values()), 1)
        yield build
        for name, text, value in (
            ("loop_last_completed_timestamp_seconds", "The loop's last round.", self._meters.loop_completed),
            ("ca_last_success_timestamp_seconds", "The CA's last good answer.", ca_last_success),
        ):
            if value is not None:
                yield GaugeMetricFamily(f"{_PREFIX}{name}", text, value=value.timestamp())


def _family(name: str, text: str, labels: tuple[str, ...]) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{_PREFIX}{name}", text, labels=labels)


def _of_certificates(entries: tuple[CertificateStatus, ...]) -> Iterator[GaugeMetricFamily]:
    times: Mapping[str, Callable[[CertificateStatus], datetime | None]] = {
        "cert_not_after_timestamp_seconds": lambda one: one.meta.not_after if one.meta else None,
        "cert_not_before_timestamp_seconds": lambda one: one.meta.not_before if one.meta else None,
        "cert_renewal_due_timestamp_seconds": lambda one: one.progress.due,
        "cert_next_attempt_timestamp_seconds": lambda one: one.progress.next_attempt,
        "cert_last_renewal_attempt_timestamp_seconds": lambda one: one.progress.last_attempt,
        "cert_last_renewal_success_timestamp_seconds": lambda one: one.progress.last_success,
        "cert_last_verified_timestamp_seconds": lambda one: one.progress.last_verified,
    }
    for name, pick in times.items():
        family = _family(name, "Unix time, by certificate.", _CERT)
        for one in entries:
            moment = pick(one)
            if moment is not None:
                family.add_metric((one.progress.certificate,), moment.timestamp())
        yield family
    yield from (_lifetimes(entries), _failures(entries), _states(entries), _infos(entries), _preflights(entries))


def _lifetimes(entries: tuple[CertificateStatus, ...]) -> GaugeMetricFamily:
    family = _family("cert_lifetime_seconds", "The whole life of the certificate in service.", _CERT)
    for one in entries:
        if one.meta is not None:
            family.add_metric((one.progress.certificate,), one.meta.lifetime)
    return family


def _failures(entries: tuple[CertificateStatus, ...]) -> GaugeMetricFamily:
    family = _family("cert_consecutive_failures", "Failed attempts since the last success.", _CERT)
    for one in entries:
        family.add_metric((one.progress.certificate,), one.progress.failures)
    return family


def _states(entries: tuple[CertificateStatus, ...]) -> GaugeMetricFamily:
    family = _family("cert_state", "1 for the state that the certificate is in.", ("cert", "state"))
    for one in entries:
        for state in State:
            family.add_metric((one.progress.certificate, state), float(one.progress.state is state))
    return family


def _infos(entries: tuple[CertificateStatus, ...]) -> GaugeMetricFamily:
    labels = ("cert", "owner", "profile", "authority", "key_type")
    family = _family("cert_info", "Who owns it and who issued it.", labels)
    for one in entries:
        if one.meta is not None:
            values = (one.progress.certificate, one.owner, "", one.meta.issuer, one.meta.key_type)
            family.add_metric(values, 1)
    return family


def _preflights(entries: tuple[CertificateStatus, ...]) -> GaugeMetricFamily:
    family = _family("preflight_ok", "1 where the last preflight of every certificate passed the check.", ("check",))
    verdicts: dict[str, bool] = {}
    for one in entries:
        for check in one.checks:
            verdicts[check.name] = verdicts.get(check.name, True) and not check.problem
    for name, passed in verdicts.items():
        family.add_metric((name,), float(passed))
    return family


def _of_targets(entries: tuple[CertificateStatus, ...]) -> Iterator[GaugeMetricFamily]:
    picks = {
        "probe_success": lambda look: float(bool(look.served.fingerprint)),
        "probe_match": lambda look: None if look.match is None else float(look.match),
        "probe_chain_valid": lambda look: float(look.served.chain_valid) if look.served.fingerprint else None,
        "probe_not_after_timestamp_seconds": _served_until,
    }
    for name, pick in picks.items():
        family = _family(name, "The last look at the target.", _TARGET)
        for one in entries:
            for look in one.targets:
                value = pick(look)
                if value is not None:
                    family.add_metric((one.progress.certificate, look.target), value)
        yield family


def _served_until(look: TargetResult) -> float | None:
    return look.served.not_after.timestamp() if look.served.not_after else None
