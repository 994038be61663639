"""A small world for the agent's tests: a CA made with pyca, a service that loads files, and a clock set by hand."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from dayfly.agent.clock import Clock
from dayfly.agent.failures import Failure
from dayfly.agent.hooks import HookOutcome, HookRun
from dayfly.agent.installing import Generations, Meta
from dayfly.agent.journal import Journal, Progress
from dayfly.agent.layout import Layout
from dayfly.agent.metrics import BoardCollector, Meters
from dayfly.agent.probing import Served
from dayfly.agent.settings import CertificateSettings, CommandReload, Reload, Standalone, Target
from dayfly.agent.speaking import Speaker
from dayfly.agent.status import AgentStatus, Board
from dayfly.agent.tools import Tools
from dayfly.agent.work import Worker
from dayfly.client.renewals import Suggestion
from dayfly.core.deployment.states import State
from dayfly.core.frozen import replace

START = datetime(2026, 1, 1, tzinfo=UTC)
DIRECTORY = "https://ca.test/acme/x/directory"
TARGET = Target("127.0.0.1", 8443, "web.test")
SETTINGS = CertificateSettings(
    name="web",
    names=("web.test",),
    challenge=Standalone("127.0.0.1", 5002),
    owner="web-team",
    lifetime=3600,
    reload=CommandReload(("/usr/bin/true",)),
    targets=(TARGET,),
    within=20,
)
WAITING = (State.SERVED, State.IDLE, State.BACKOFF, State.DEGRADED, State.STUCK)


class HandClock:
    """A clock that moves only when told; the wall clock may be set apart from the other one."""

    def __init__(self, now: datetime = START) -> None:
        self.wall = now
        self.boot = 1000.0
        self.jitters = 0.5

    def now(self) -> datetime:
        return self.wall

    def boot_seconds(self) -> float:
        return self.boot

    def jitter(self) -> float:
        return self.jitters

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.wall += timedelta(seconds=seconds)
        self.boot += seconds


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


@dataclass
class CA:
    """A root, an intermediate, and an issuer with orders; `failures` are raised by the next calls, one each."""

    clock: Clock
    orders: dict[str, tuple[datetime | None, bytes]] = field(default_factory=dict)
    failures: list[Exception] = field(default_factory=list)
    issued: int = 0
    calls: int = 0
    after_issuing: Callable[[], None] = lambda: None
    change: Callable[[bytes], bytes] = lambda answer: answer
    default_life: int = 3600
    suggest: Callable[[str], Suggestion | None] = lambda named: None
    asked: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.root_key, self.key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        born = self.clock.now() - timedelta(days=30)
        self.root = self._authority("Test Root", self.root_key, "Test Root", self.root_key, born)
        self.intermediate = self._authority("Test Intermediate", self.key, "Test Root", self.root_key, born)

    def _authority(
        self,
        subject: str,
        key: ec.EllipticCurvePrivateKey,
        issuer: str,
        issuer_key: ec.EllipticCurvePrivateKey,
        born: datetime,
    ) -> x509.Certificate:
        usage = x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=True,
            crl_sign=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        return (
            self._builder(subject, key.public_key(), issuer, issuer_key.public_key())
            .not_valid_before(born)
            .not_valid_after(born + timedelta(days=3650))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .sign(issuer_key, hashes.SHA256())
        )

    def _builder(
        self, subject: str, public: ec.EllipticCurvePublicKey, issuer: str, authority: ec.EllipticCurvePublicKey
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(_name(subject) if subject else x509.Name([]))
            .issuer_name(_name(issuer))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority), critical=False)
        )

    def leaf(
        self,
        csr: x509.CertificateSigningRequest,
        *,
        not_after: datetime,
        not_before: datetime | None = None,
        names: tuple[str, ...] = (),
    ) -> x509.Certificate:
        """A leaf for the request's key; its names, or others."""
        public = csr.public_key()
        assert isinstance(public, ec.EllipticCurvePublicKey)
        san = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        others = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        return (
            self._builder("", public, "Test Intermediate", self.key.public_key())
            .not_valid_before(not_before or self.clock.now() - timedelta(seconds=6))
            .not_valid_after(not_after)
            .add_extension(others if names else san, critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .sign(self.key, hashes.SHA256())
        )

    def new_order(self, settings: CertificateSettings, *, not_after: datetime | None, replaces: str = "") -> str:
        self._call()
        self.replaced.append(replaces)
        url = f"https://ca.test/order/{len(self.orders)}"
        self.orders[url] = (not_after, b"")
        return url

    def renewal_info(self, named: str) -> Suggestion | None:
        self.asked.append(named)
        return self.suggest(named)

    def certificate(self, settings: CertificateSettings, *, order_url: str, csr: bytes) -> bytes:
        self._call()
        not_after, answer = self.orders[order_url]
        if not answer:
            end = not_after or self.clock.now() + timedelta(seconds=self.default_life)
            answer = self.chain(self.leaf(x509.load_der_x509_csr(csr), not_after=end))
            self.orders[order_url] = (not_after, answer)
            self.issued += 1
            self.after_issuing()
        return self.change(answer)

    def chain(self, leaf: x509.Certificate) -> bytes:
        """Leaf and intermediate as PEM."""
        return leaf.public_bytes(Encoding.PEM) + self.intermediate.public_bytes(Encoding.PEM)

    def _call(self) -> None:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)


@dataclass
class Service:
    """A service that serves what it loaded at its last reload; `outcomes` are those of the next reloads."""

    directory: Path
    root: x509.Certificate
    ignores_reload: bool = False
    outcomes: list[HookOutcome] = field(default_factory=list)
    reloads: int = 0
    leaf: bytes = b""
    down: bool = False

    def reload(self, _reload: Reload, run: HookRun) -> HookOutcome:
        self.reloads += 1
        outcome = self.outcomes.pop(0) if self.outcomes else HookOutcome(ok=True, text="exit 0")
        if outcome.ok and not (self.ignores_reload and self.leaf):
            self.load()
        return outcome

    def load(self) -> None:
        """Read the pair in service, both files through one directory."""
        directory = self.directory.resolve()
        certificate = x509.load_pem_x509_certificate((directory / "cert.pem").read_bytes())
        self.leaf = certificate.public_bytes(Encoding.DER)

    def serves(self, _target: Target) -> Served:
        if self.down or not self.leaf:
            return Served(error="Connection refused")
        certificate = x509.load_der_x509_certificate(self.leaf)
        fingerprint = hashlib.sha256(self.leaf).hexdigest()
        return Served(fingerprint, f"{certificate.serial_number:x}", certificate.not_valid_after_utc, chain_valid=True)


class World:
    """An agent's home with everything around it; `worker()` is a fresh start of the process."""

    def __init__(self, home: Path, settings: CertificateSettings = SETTINGS, *, now: datetime = START) -> None:
        self.clock = HandClock(now)
        self.ca = CA(self.clock)
        self.settings = settings
        self.layout = Layout(home)
        self.layout.prepare((settings.name,))
        self.service = Service(self.layout.current(settings.name), self.ca.root)
        self.said = io.StringIO()
        self.meters = Meters()
        self.board = Board(self.layout, head=AgentStatus(now, DIRECTORY, ()))
        self.meters.registry.register(BoardCollector(self.board, self.meters))
        self.generations = Generations(self.layout, settings.name)

    def tools(self) -> Tools:
        return Tools(
            layout=self.layout,
            clock=self.clock,
            journal=Journal(self.layout.journal, lock=self.layout.lock(".journal")),
            board=self.board,
            meters=self.meters,
            say=Speaker(self.clock, stream=self.said),
            issuer=self.ca,
            prober=self.service.serves,
            root=self.ca.root,
            reload=self.service.reload,
        )

    def worker(self, **changes: object) -> Worker:
        return Worker(replace(self.settings, **changes), self.tools())

    def settle(self, worker: Worker, *, steps: int = 200) -> Progress:
        """Step, letting time pass where the worker waits, until it rests."""
        for _ in range(steps):
            wake = worker.step()
            if worker.state in WAITING:
                return worker.standing.progress
            self.clock.advance(max(0.0, (wake - self.clock.now()).total_seconds()))
        msg = f"still {worker.state} after {steps} steps"
        raise AssertionError(msg)

    def wait_and_settle(self, worker: Worker) -> Progress:
        """Let time pass until the worker does something, and then until it rests again."""
        for _ in range(400):
            before = worker.state
            wake = worker.step()
            if worker.state is not before:
                return worker.standing.progress if worker.state in WAITING else self.settle(worker)
            self.clock.advance(max(0.001, (wake - self.clock.now()).total_seconds()))
        msg = f"nothing happened in {worker.state}"
        raise AssertionError(msg)

    def meta(self) -> Meta:
        """The pair in service."""
        meta = self.generations.meta(self.generations.current())
        assert meta is not None
        return meta

    def check_pair(self) -> None:
        """The pair in service is whole: its files are as written, and the key is the certificate's."""
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        number = self.generations.current()
        self.generations.check(number)
        certificate = x509.load_pem_x509_certificate((self.generations.path(number) / "cert.pem").read_bytes())
        key = load_pem_private_key((self.generations.path(number) / "key.pem").read_bytes(), None)
        assert key.public_key() == certificate.public_key()

    def sample(self, name: str, **labels: str) -> float | None:
        """One metric's value, or None where there is no such series."""
        return self.meters.registry.get_sample_value(f"dayfly_agent_{name}", labels)


def refused(failure: Failure) -> list[Exception]:
    """A list for `CA.failures`."""
    return [failure]
