"""What the demo sees with its own eyes: an independent TLS connection, the pair on disk, and both metrics ports."""

from __future__ import annotations

import hashlib
import http.client
import socket
import ssl
import time
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from prometheus_client.parser import text_string_to_metric_families

from dayfly.cli.demo.stage import NAME, DemoError, Stage

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@dataclass(frozen=True, slots=True)
class Leaf:
    """A certificate: its serial (hex), SHA-256, and end in Unix seconds."""

    serial: str
    fingerprint: str
    not_after: float

    @property
    def short(self) -> str:
        """The last eight digits of the serial: they are random, the first ones are the time."""
        return f"…{self.serial[-8:]}"


def _leaf(certificate: x509.Certificate) -> Leaf:
    return Leaf(
        f"{certificate.serial_number:x}",
        certificate.fingerprint(SHA256()).hex(),
        certificate.not_valid_after_utc.timestamp(),
    )


def served_leaf(stage: Stage) -> Leaf:
    """What the service serves to a stranger who trusts the root alone; OSError where it serves nothing."""
    context = ssl.create_default_context(cafile=str(stage.root_certificate))
    address = ("127.0.0.1", stage.ports["service"])
    with (
        socket.create_connection(address, timeout=5) as plain,
        context.wrap_socket(plain, server_hostname=NAME) as secure,
    ):
        der = secure.getpeercert(binary_form=True)
    if der is None:
        raise DemoError("the service showed no certificate")
    leaf = _leaf(x509.load_der_x509_certificate(der))
    if leaf.fingerprint != hashlib.sha256(der).hexdigest():
        raise DemoError("the certificate's fingerprint does not add up")
    return leaf


def installed_leaf(pair: Path) -> Leaf:
    """The newest generation on disk; FileNotFoundError before the first."""
    return _leaf(x509.load_pem_x509_certificate((pair / "cert.pem").read_bytes()))


def scrape(port: int) -> Samples:
    """All samples of a metrics port, as Prometheus would read them; OSError."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=3)
    try:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    finally:
        connection.close()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def total(samples: Samples, name: str, **wanted: str) -> float:
    """The sum of a metric's samples that have these labels."""
    return sum(
        value for (found, labels), value in samples.items() if found == name and wanted.items() <= dict(labels).items()
    )


@dataclass(frozen=True, slots=True)
class Signals:
    """The five signals at one moment, from both metrics ports."""

    remaining: float
    lifetime: float
    last_renewal: float
    served: bool
    attempts: int
    failures: int
    ready: bool
    issued: int
    denied: int

    @property
    def share(self) -> float:
        """The share of life that remains."""
        return max(0.0, min(1.0, self.remaining / self.lifetime)) if self.lifetime else 0.0


def five_signals(stage: Stage) -> Signals:
    """Read both ports as a Prometheus would; OSError."""
    ca, agent, now = scrape(stage.ports["ca_metrics"]), scrape(stage.ports["agent_metrics"]), time.time()  # noqa: TID251 - a person's clock, as PromQL's time()
    success = total(agent, "dayfly_agent_renewals_total", outcome="success")
    failed = total(agent, "dayfly_agent_renewals_total") - success
    return Signals(
        remaining=total(agent, "dayfly_agent_cert_not_after_timestamp_seconds", cert="api") - now,
        lifetime=total(agent, "dayfly_agent_cert_lifetime_seconds", cert="api"),
        last_renewal=now - total(agent, "dayfly_agent_cert_last_renewal_success_timestamp_seconds", cert="api"),
        served=total(agent, "dayfly_agent_probe_match", cert="api") == 1,
        attempts=int(success + failed),
        failures=int(failed),
        ready=all(value == 1 for (name, _), value in ca.items() if name == "dayfly_ca_ready"),
        issued=int(total(ca, "dayfly_ca_issued_total", provisioner="internal-acme")),
        denied=int(total(ca, "dayfly_ca_requests_total", outcome="denied")),
    )
