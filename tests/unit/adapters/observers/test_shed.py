"""Connections that were not served are seen in the metrics."""

from __future__ import annotations

from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, generate_latest

from dayfly.adapters.observers.fleet import Fleet
from dayfly.adapters.observers.prometheus import Metrics
from dayfly.core.events import ConnectionsShed

NOW = datetime(2026, 11, 26, tzinfo=UTC)


def test_shed_connections_add_up_by_reason() -> None:
    """What listeners tell once a second is a total."""
    metrics = Metrics(Fleet(), "Internal CA")
    metrics.notify([ConnectionsShed(NOW, "rate", 7), ConnectionsShed(NOW, "half-open", 2)])
    metrics.notify([ConnectionsShed(NOW, "rate", 5)])
    registry = CollectorRegistry()
    registry.register(metrics)
    said = generate_latest(registry).decode()
    assert 'dayfly_ca_connections_shed_total{reason="rate"} 12.0' in said
    assert 'dayfly_ca_connections_shed_total{reason="half-open"} 2.0' in said
