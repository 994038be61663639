"""Certificate rows held against the entries that tell of them, both streaming.

Rules: each entry of an issuance has its row, unless retention has taken it, and each row its entry; what both know is
equal; a row is revoked if and only if an entry says so. Rows come by ascending id and entries nearly so, because an id
tells the time: what waits for its other half is as little as the two are out of step.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from operator import attrgetter
from typing import Any

from dayfly.core.acme.objects import Certificate
from dayfly.core.events import CertificateIssued, CertificateRevoked
from dayfly.core.identifiers import Identifier
from dayfly.core.ids import render_id
from dayfly.core.transparency.findings import Findings
from dayfly.core.x509.reasons import KEY_COMPROMISE

_SHARED = (
    "serial", "fingerprint", "names", "not_before", "not_after", "provisioner", "owner", "rule", "profile",
    "profile_hash", "account_id", "order_id",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What a certificate's row says; `fingerprint` is the SHA-256 (hex) of the stored DER, times are whole seconds."""

    id: int
    serial: int
    fingerprint: str
    names: tuple[Identifier, ...]
    not_before: datetime
    not_after: datetime
    provisioner: str
    owner: str
    rule: str
    profile: str
    profile_hash: str
    account_id: int | None = None
    order_id: int | None = None
    revoked_at: datetime | None = None
    revocation_reason: int | None = None


def certificate_facts(certificate: Certificate) -> CertificateFacts:
    """The facts of a row; its DER is hashed anew."""
    revoked_at = certificate.revoked_at
    return CertificateFacts(
        id=certificate.id,
        serial=certificate.serial,
        fingerprint=sha256(certificate.der).hexdigest(),
        names=certificate.names,
        not_before=certificate.not_before.replace(microsecond=0),
        not_after=certificate.not_after.replace(microsecond=0),
        provisioner=certificate.provisioner,
        owner=certificate.owner,
        rule=certificate.rule,
        profile=certificate.profile,
        profile_hash=certificate.profile_hash,
        account_id=certificate.account_id,
        order_id=certificate.order_id,
        revoked_at=revoked_at and revoked_at.replace(microsecond=0),
        revocation_reason=certificate.revocation_reason,
    )


@dataclass(frozen=True, slots=True)
class _Waiting:
    """An entry of an issuance whose row has not come yet; `said` is None where the entry cannot be believed."""

    index: int
    not_after: datetime
    said: tuple[Any, ...] | None


class RowMatcher:
    """Matches the rows and entries of one log."""

    def __init__(self, findings: Findings, retired_before: datetime | None) -> None:
        """Rows of certificates that expired before `retired_before` may be missing; None: no row may."""
        self._findings = findings
        self._retired_before = retired_before
        self._entries: dict[int, _Waiting] = {}
        self._rows: dict[int, CertificateFacts] = {}
        self._retired: set[int] = set()
        self._revocations: dict[int, tuple[int, datetime, int]] = {}
        self._revoked_rows: dict[int, tuple[datetime, int | None]] = {}
        self._highest = 0
        self.last_row = 0
        self.rows_ended = False

    @property
    def behind(self) -> bool:
        """Do entries wait for rows that were not read yet?"""
        return not self.rows_ended and self._highest > self.last_row

    def issued(self, index: int, event: CertificateIssued, *, intact: bool) -> None:
        """Take up an entry; one that is not `intact` excuses its row from any comparison."""
        certificate_id = event.certificate_id
        waiting = _Waiting(index, event.not_after, _said(event) if intact else None)
        row = self._rows.pop(certificate_id, None)
        if row is not None:
            self._compare(waiting, row)
        elif certificate_id in self._entries:
            self._findings.add(index, f"it is a second entry for certificate {render_id(certificate_id)}")
        elif certificate_id <= self.last_row or self.rows_ended:
            self._miss(certificate_id, waiting)
        else:
            self._entries[certificate_id] = waiting
            self._highest = max(self._highest, certificate_id)

    def revoked(self, index: int, event: CertificateRevoked) -> None:
        """Take up the entry of a revocation; a later one for keyCompromise changes the reason, and not when it was."""
        earlier = self._revocations.get(event.certificate_id)
        at = event.at if earlier is None or event.reason != KEY_COMPROMISE else earlier[1]
        self._revocations[event.certificate_id] = (index, at, event.reason)

    def later(self, event: CertificateIssued | CertificateRevoked) -> None:
        """Excuse a row for what was committed after the check began, now that all rows are read."""
        if isinstance(event, CertificateIssued):
            self._rows.pop(event.certificate_id, None)
        else:
            self._revoked_rows.pop(event.certificate_id, None)
            self._revocations.pop(event.certificate_id, None)

    def add_rows(self, rows: Iterable[CertificateFacts]) -> None:
        """Take up the next rows by id; none at all says that there are no more."""
        last = self.last_row
        for row in rows:
            waiting = self._entries.pop(row.id, None)
            if waiting is not None:
                self._compare(waiting, row)
            else:
                self._rows[row.id] = row
            if row.revoked_at is not None:
                self._revoked_rows[row.id] = (row.revoked_at, row.revocation_reason)
            self.last_row = row.id
        self.rows_ended = self.rows_ended or last == self.last_row
        passed = [one for one in self._entries if one <= self.last_row or self.rows_ended]
        for certificate_id in passed:
            self._miss(certificate_id, self._entries.pop(certificate_id))

    def finish(self) -> None:
        """Name the rows and revocations whose other half never came."""
        for certificate_id in self._rows:
            self._findings.add(None, f"certificate row {render_id(certificate_id)} has no entry in the log")
        for certificate_id, (index, at, reason) in self._revocations.items():
            found = self._revoked_rows.pop(certificate_id, None)
            if found != (at, reason) and certificate_id not in self._retired:
                self._findings.add(
                    index, f"the row of certificate {render_id(certificate_id)} is not revoked like this"
                )
        for certificate_id in self._revoked_rows:
            self._findings.add(
                None, f"certificate row {render_id(certificate_id)} is revoked, and no entry of the log says so"
            )

    def _miss(self, certificate_id: int, waiting: _Waiting) -> None:
        if self._retired_before is not None and waiting.not_after < self._retired_before:
            self._retired.add(certificate_id)
        elif waiting.said is not None:
            self._findings.add(waiting.index, f"the row of certificate {render_id(certificate_id)} is missing")

    def _compare(self, waiting: _Waiting, row: CertificateFacts) -> None:
        found = _said(row)
        if waiting.said is None or waiting.said == found:
            return
        pairs = zip(_SHARED, waiting.said, found, strict=True)
        differing = ", ".join(name for name, logged, stored in pairs if logged != stored)
        self._findings.add(waiting.index, f"the row of certificate {render_id(row.id)} differs from it in {differing}")


_said = attrgetter(*_SHARED)
