"""Which certificates somebody wants to see.

Rules: without a word it is what lives: not expired, not revoked, not the CA's own; a name is met by a whole name or a
pattern as name rules have it; all that is asked must hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from dayfly.core.acme.objects import Certificate
from dayfly.core.fleet.forecast import OVERDUE, Life
from dayfly.core.identifiers import Identifier
from dayfly.core.policy.rules import parse_pattern


class CertificateState(StrEnum):
    """How a certificate stands by what the CA knows of it."""

    VALID = "valid"
    OVERDUE = "overdue"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Selection:
    """What is asked for; empty means any. `expiring` is the time that is left at most; `everything` takes the dead too.

    `name` is a name or a pattern: `a.b`, `*.a.b` (one label), `**.a.b` (any depth).
    """

    now: datetime
    everything: bool = False
    expiring: timedelta | None = None
    owner: str = ""
    provisioner: str = ""
    name: str = ""
    account_id: int | None = None

    def takes(self, certificate: Certificate) -> bool:
        """Is the certificate among them? RuleError for a `name` that is no pattern."""
        return (
            (self.everything or self._lives(certificate))
            and (self.expiring is None or certificate.not_after - self.now <= self.expiring)
            and self.owner in {"", certificate.owner}
            and self.provisioner in {"", certificate.provisioner}
            and self.account_id in {None, certificate.account_id}
            and (not self.name or any(is_met(self.name, one) for one in certificate.names))
        )

    def _lives(self, certificate: Certificate) -> bool:
        ours = certificate.provisioner == ""
        return not ours and state_of(certificate, self.now) in {CertificateState.VALID, CertificateState.OVERDUE}


def is_met(wanted: str, name: Identifier) -> bool:
    """Is this the name that is wanted, or one of the pattern's? RuleError."""
    if wanted == name.value:
        return True
    if name.type == "ip" or ":" in wanted or not wanted.startswith("*"):
        return False
    stars, base = parse_pattern(wanted, what="the name")
    parent = name.value.partition(".")[2]
    return parent == base if stars == "*" else name.value.endswith(f".{base}")


def state_of(certificate: Certificate, now: datetime) -> CertificateState:
    """Revoked, expired, overdue (past two thirds of its life and 5 % more), or valid."""
    if certificate.revoked_at is not None:
        return CertificateState.REVOKED
    if certificate.not_after < now:
        return CertificateState.EXPIRED
    life = Life(certificate.not_before.timestamp(), certificate.not_after.timestamp())
    return CertificateState.OVERDUE if life.used(now.timestamp()) > OVERDUE else CertificateState.VALID
