"""The server's own TLS certificate: issued by itself through the one issuing path, renewed without a restart.

Rules: it needs no DNS, no client and no agent; a new key each time, kept in memory only; it is renewed at two thirds
of its life, and at once when it has expired (a long sleep); the old one stays in service until the new one is in the
log.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from dayfly.authority.context import Authority
from dayfly.authority.issuing import issue
from dayfly.core.events import IssueKind
from dayfly.core.identifiers import Identifier
from dayfly.core.policy.decisions import Allowed
from dayfly.core.policy.lifetimes import Lifetimes, plan_validity
from dayfly.core.policy.plan import IssuePlan
from dayfly.core.x509.pem import render_pem
from dayfly.core.x509.profile import SERVER_TLS
from dayfly.ports.changes import Changes

_LOG = logging.getLogger("dayfly.authority")

LIFETIME = timedelta(hours=24)
SELF = Allowed(rule="own-names", owner="dayfly")
Install = Callable[[bytes, ec.EllipticCurvePrivateKey], None]


class OwnCertificate:
    """Keeps the listener's certificate fresh; `install` gets the chain (PEM) and the key."""

    def __init__(
        self, authority: Authority, names: tuple[Identifier, ...], install: Install, *, lifetime: timedelta = LIFETIME
    ) -> None:
        """Nothing is issued yet; `names` are the hosts of the base URLs."""
        self._authority = authority
        self._names = names
        self._install = install
        self._lifetimes = Lifetimes(timedelta(seconds=10), lifetime, lifetime)
        self._due: datetime | None = None
        self.not_after: datetime | None = None
        self.not_before: datetime | None = None

    async def renew_if_due(self, now: datetime) -> None:
        """Issue and install a new certificate when the planned moment has come."""
        if self._due is None or now >= self._due:
            await self._renew(now)

    async def _renew(self, now: datetime) -> None:
        """1. A new key. 2. Issue. 3. Commit with its log entry. 4. Install."""
        key = ec.generate_private_key(ec.SECP256R1())
        validity = plan_validity(
            now, lifetimes=self._lifetimes, issuer_not_after=self._authority.signer.issuer.not_after
        )
        plan = IssuePlan(
            names=self._names,
            spki=key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            validity=validity,
            common_name=None,
            profile=SERVER_TLS.name,
            provisioner="",
            allowed=SELF,
        )
        made = await issue(self._authority, plan, mark=None, kind=IssueKind.INTERNAL)
        await self._authority.store.commit(Changes(insert=(made.certificate,), events=(made.event,)))
        chain = "".join(render_pem(der) for der in (made.certificate.der, *self._authority.signer.chain))
        self._install(chain.encode(), key)
        self.not_before, self.not_after = validity.not_before, validity.not_after
        self._due = validity.not_before + (validity.not_after - validity.not_before) * 2 / 3
        _LOG.info("own certificate installed", extra={"serial": f"{made.certificate.serial:x}"})
