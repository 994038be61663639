"""The agent's issuer by ACME: one account per agent and CA, its key in the agent's home (agent.md section 8).

Rules: the account's key is 0600 and made once; the account is bound by the external key that agent.toml names, whose
file is read for that and for nothing else; every error becomes a failure of the class that decides its retry; an order
that can give nothing any more is told as lost.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from dayfly.agent.failures import Failure, FailureClass
from dayfly.agent.layout import Layout, read_file, replace_file
from dayfly.agent.settings import AgentSettings, CertificateSettings, Standalone
from dayfly.agent.tables import Table
from dayfly.client.acme import ACMEClient, ACMEProblem, Placed
from dayfly.client.external_accounts import load_external_account
from dayfly.client.renewals import Suggestion
from dayfly.client.solving import StandaloneSolver, WebrootSolver
from dayfly.client.transport import Transport, trusting
from dayfly.errors import ClientError, ConfigError

Result = TypeVar("Result")

_POLICY = frozenset({"rejectedIdentifier", "unsupportedIdentifier", "invalidProfile", "badCSR", "badPublicKey", "caa"})
_REPLACES = frozenset({"alreadyReplaced", "unauthorized", "malformed"})
_BINDING = frozenset({"externalAccountRequired", "unauthorized"})  # of a new account: what should bind it does not
_ACCOUNT = frozenset({"accountDoesNotExist"})
_CHALLENGE = frozenset({"connection", "dns", "tls", "incorrectResponse", "unauthorized"})


class AcmeIssuer:
    """Asks one ACME directory; each request has a connection of its own, since certificates work side by side."""

    def __init__(self, settings: AgentSettings, layout: Layout) -> None:
        """Nothing is asked or read yet."""
        self._directory = settings.ca.directory
        self._root = settings.ca.root
        self._eab = settings.ca.eab
        name = hashlib.sha256(self._directory.encode()).hexdigest()[:16]
        self._key_file = layout.accounts / f"{name}.pem"
        self._url_file = layout.accounts / f"{name}.url"
        self._account = threading.Lock()

    def new_order(self, settings: CertificateSettings, *, not_after: datetime | None, replaces: str = "") -> str:
        """Order a certificate for the names; the order's URL. Failure.

        An order whose `replaces` is refused is made again without it: that must not hold a renewal up.
        """
        identifiers = [("ip" if Table.is_ip(name) else "dns", name) for name in settings.names]

        def order(client: ACMEClient) -> str:
            try:
                return client.new_order(identifiers, not_after=not_after, replaces=replaces).url
            except ACMEProblem as problem:
                if not replaces or problem.kind not in _REPLACES:
                    raise
            return client.new_order(identifiers, not_after=not_after).url

        return self._with_client(order)

    def renewal_info(self, named: str) -> Suggestion | None:
        """When the CA wants a certificate renewed; None where it has no renewal information. Failure."""
        return self._with_client(lambda client: client.renewal_info(named)) if named else None

    def certificate(self, settings: CertificateSettings, *, order_url: str, csr: bytes) -> bytes:
        """Carry the order to its end from wherever it stands; the chain as PEM. Failure."""
        return self._with_client(lambda client: _carry(client, client.resume(order_url), settings, csr))

    def _with_client(self, work: Callable[[ACMEClient], Result]) -> Result:
        """Do the work with a client of our account; an account that the CA has forgotten is made anew, once."""
        try:
            return self._once(work)
        except ACMEProblem as problem:
            if problem.kind not in _ACCOUNT:
                raise _failure_of(problem) from problem
        except ClientError as error:
            raise Failure(FailureClass.TRANSIENT, "ca-unreachable", error.message, hint=error.hint) from error
        self._url_file.unlink(missing_ok=True)
        try:
            return self._once(work)
        except ACMEProblem as problem:
            raise _failure_of(problem) from problem
        except ClientError as error:
            raise Failure(FailureClass.TRANSIENT, "ca-unreachable", error.message, hint=error.hint) from error

    def _once(self, work: Callable[[ACMEClient], Result]) -> Result:
        with Transport(self._directory, trusting(self._root)) as transport:
            with self._account:
                client = ACMEClient(transport, self._directory, self._key(), account_url=self._known_url())
                if client.account_url is None:
                    replace_file(self._url_file, self._make_account(client).encode())
            return work(client)

    def _make_account(self, client: ACMEClient) -> str:
        """The URL of our account, new or known by its key; Failure where the CA does not want it."""
        try:
            bound_by = None if self._eab is None else load_external_account(self._eab.kid, self._eab.file)
        except ConfigError as error:
            raise Failure(FailureClass.LOCAL, "eab-key", error.message, hint=error.hint) from error
        try:
            return client.ensure_account(bound_by=bound_by)
        except ACMEProblem as problem:
            if problem.kind not in _BINDING:
                raise
            raise Failure(
                FailureClass.POLICY, _code(problem.kind), problem.message, hint=_binding_hint(problem)
            ) from problem

    def _key(self) -> ec.EllipticCurvePrivateKey:
        """The account's key, made at the first need; Failure where the file holds something else."""
        self._key_file.parent.mkdir(mode=0o700, exist_ok=True)
        stored = read_file(self._key_file)
        if stored is None:
            key = ec.generate_private_key(ec.SECP256R1())
            replace_file(self._key_file, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
            return key
        try:
            loaded = load_pem_private_key(stored, None)
        except (ValueError, TypeError):
            loaded = None
        if not isinstance(loaded, ec.EllipticCurvePrivateKey):
            text = f"{self._key_file} is not the account's key any more"
            raise Failure(FailureClass.IDENTITY, "account-key", text, hint="move it away; a new account is made")
        return loaded

    def _known_url(self) -> str | None:
        stored = read_file(self._url_file)
        return None if stored is None else stored.decode("ascii", "replace").strip()


def _carry(client: ACMEClient, placed: Placed, settings: CertificateSettings, csr: bytes) -> bytes:
    """Authorize, finalize, download; what is done already is skipped (RFC 8555 7.4)."""
    if placed.order.status == "pending":
        with _solver(settings) as solver:
            client.authorize(placed, solver)
    ready = client.wait_ready(placed)
    return client.download(client.finalize(ready, csr)).encode("ascii")


def _solver(settings: CertificateSettings) -> StandaloneSolver | WebrootSolver:
    challenge = settings.challenge
    if isinstance(challenge, Standalone):
        return StandaloneSolver(challenge.host, challenge.port)
    return WebrootSolver(challenge.directory)


def _failure_of(problem: ACMEProblem) -> Failure:
    """A refusal as a failure; an order that was refused for good, or is not there any more, is lost."""
    kind, text = problem.kind, problem.message
    wait = problem.retry_after or 0.0
    if kind in _POLICY:
        hint = problem.hint or "ask the owner of the name rules"
        return Failure(FailureClass.POLICY, _code(kind), text, order_lost=True, hint=hint)
    if kind == "rateLimited":
        return Failure(FailureClass.TRANSIENT, "rate-limited", text, retry_after=wait)
    if kind in _CHALLENGE and problem.status != 401:
        hint = "can the CA reach this host where the challenge is answered?"
        return Failure(FailureClass.TRANSIENT, "challenge-failed", text, order_lost=True, hint=hint)
    if problem.status in {401, 403}:
        return Failure(FailureClass.TRANSIENT, _code(kind), text, order_lost=True, retry_after=wait)
    lost = problem.status == 404 or kind in {"malformed", "orderNotReady"}
    return Failure(FailureClass.TRANSIENT, _code(kind), text, order_lost=lost, retry_after=wait)


def _binding_hint(problem: ACMEProblem) -> str:
    return problem.hint or "ask the CA's operator for another external account key, and name it as ca.eab in agent.toml"


def _code(kind: str) -> str:
    """`rejectedIdentifier` as `rejected-identifier`, cut: a CA's word becomes a label only if it is a plain one."""
    words = "".join(f"-{one.lower()}" if one.isupper() else one for one in kind)
    return words if words.replace("-", "").isalpha() and len(words) <= 40 else "refused"


def make_issuer(settings: AgentSettings, layout: Layout) -> AcmeIssuer:
    """The issuer for an agent."""
    return AcmeIssuer(settings, layout)
