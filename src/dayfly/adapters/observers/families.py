"""The families of metrics that a scrape is made of, as prometheus-client takes them.

Rules: what has no value has no series.
"""

from __future__ import annotations

import bisect
import platform
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import cryptography
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from dayfly import __version__


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


def counter(name: str, text: str, labels: tuple[str, ...], rows: Mapping[Any, int]) -> Metric:
    """Counts by their labels' values."""
    family = CounterMetricFamily(name, text, labels=labels)
    for key, count in rows.items():
        family.add_metric(key, count)
    return family


def gauge(name: str, text: str, labels: tuple[str, ...], rows: Mapping[Any, float]) -> Metric:
    """Values by their labels' values."""
    family = GaugeMetricFamily(name, text, labels=labels)
    for key, value in rows.items():
        family.add_metric(key, value)
    return family


def histogram(name: str, text: str, labels: tuple[str, ...], rows: Mapping[Any, Histogram]) -> Metric:
    """Distributions by their labels' values."""
    family = HistogramMetricFamily(name, text, labels=labels)
    for key, histogram in rows.items():
        family.add_metric(key, histogram.buckets(), histogram.total)
    return family


def build_info() -> Metric:
    """Which versions run."""
    versions = (__version__, platform.python_version(), ssl.OPENSSL_VERSION, cryptography.__version__)
    return gauge("dayfly_ca_build_info", "Versions.", ("version", "python", "openssl", "cryptography"), {versions: 1.0})
