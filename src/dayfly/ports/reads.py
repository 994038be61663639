"""What is stored, as committed: one Protocol a family of objects.

Rules: frozen objects come out; a missing thing is `NotFound`, or None where the contract says so; what can be long is
read in pages.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol

import msgspec

from dayfly.core.acme.external_accounts import ExternalAccountKey
from dayfly.core.acme.habits import Issuance
from dayfly.core.acme.objects import Account, Certificate, Order, SharedAuthorization
from dayfly.core.identifiers import Identifier
from dayfly.core.settings.revisions import Settings


class AccountReads(Protocol):
    """Accounts, as committed."""

    async def account(self, account_id: int) -> Account:
        """The account with this id; NotFound."""
        ...

    async def account_by_key(self, provisioner: str, thumbprint: str) -> Account | None:
        """The account of this provisioner with this key's thumbprint, in whatever status."""
        ...

    async def accounts_of_key(self, thumbprint: str) -> tuple[Account, ...]:
        """The accounts of all provisioners with this key, in whatever status."""
        ...

    async def accounts(self, *, after: int, limit: int) -> tuple[Account, ...]:
        """Accounts with ids above `after`, ascending, at most `limit`: a page."""
        ...


class OrderSlice(msgspec.Struct, frozen=True, gc=False):
    """Some orders, newest first, and the id below which the next ones are; None where there are no more."""

    orders: tuple[Order, ...]
    following: int | None


class OrderReads(Protocol):
    """Orders, as committed."""

    async def order(self, order_id: int) -> Order:
        """The order with this id; NotFound."""
        ...

    async def open_orders(self, account_id: int, *, limit: int) -> tuple[Order, ...]:
        """The account's pending and ready orders, newest first, at most `limit`; for reuse of the same order."""
        ...

    async def count_open_orders(self, account_id: int, *, since: int) -> int:
        """How many orders of the account with ids from `since` on are pending or ready."""
        ...

    async def count_open_authorizations(self, account_id: int, *, since: int) -> int:
        """How many authorizations these orders have together; reads them all, so only for accounts with many."""
        ...

    async def orders_of(self, account_id: int, *, before: int | None, limit: int) -> OrderSlice:
        """The account's orders below an id that are not stored as invalid, newest first, at most `limit`."""
        ...

    async def account_orders(self, account_id: int, *, since: int, below: int, limit: int) -> tuple[Order, ...]:
        """The account's orders with ids from `since` on and below `below`, in whatever status, newest first: a page."""
        ...

    async def orders(self, *, before: int | None, limit: int) -> tuple[Order, ...]:
        """Orders of all accounts with ids below `before`, newest first, at most `limit`: a page."""
        ...

    async def order_counts(self) -> dict[str, int]:
        """How many orders there are in each status, by the status's word; for metrics."""
        ...


class AuthorizationReads(Protocol):
    """Authorizations in rows of their own, as committed."""

    async def authorization(self, row_id: int) -> SharedAuthorization:
        """The one with this id; NotFound."""
        ...

    async def live_authorizations(
        self, account_id: int, identifiers: Sequence[Identifier], *, now: datetime
    ) -> tuple[SharedAuthorization, ...]:
        """The account's pending and valid ones for these names that end after `now`.

        By name as asked, newest first, of one name at most LIVE_ONES.
        """
        ...

    async def count_pending(self, account_id: int, *, now: datetime) -> int:
        """How many of the account's are pending and end after `now`."""
        ...


LIVE_ONES = 8
"""Of one name; an account has one or two."""


class KeyBar(StrEnum):
    """Why a key gets no certificate: it was reported as compromised, or is an account's, in whatever status."""

    COMPROMISED = "compromised"
    ACCOUNT = "account"


class CertificateReads(Protocol):
    """Certificates, as committed."""

    async def certificate(self, certificate_id: int) -> Certificate:
        """The certificate with this row id; NotFound."""
        ...

    async def certificates(self, *, after: int, limit: int) -> tuple[Certificate, ...]:
        """Certificates with ids above `after`, ascending, at most `limit`: a page."""
        ...

    async def live_certificates(self, now: datetime, *, after: int, limit: int) -> tuple[Certificate, ...]:
        """The same for those with notAfter at or after `now` that are not revoked."""
        ...

    async def issuances(self, *, limit: int) -> tuple[Issuance, ...]:
        """What accounts were given of the newest `limit` certificates, newest first, without what is revoked."""
        ...

    async def line_revoked_at(self, certificate_id: int) -> datetime | None:
        """When this certificate, or one that it was renewed from, however long ago, was revoked; None if none was.

        One that it was renewed from and that was revoked as superseded does not count: it was replaced by this one.
        What an order gave was not renewed from anything, whatever it replaces.
        """
        ...

    async def is_compromised(self, spki_hash: str) -> bool:
        """Does the key with this SHA-256 (hex) of its SubjectPublicKeyInfo get no certificate any more?"""
        ...

    async def key_bar(self, spki_hash: str, thumbprint: str) -> KeyBar | None:
        """Why the key with this hash, or thumbprint (RFC 7638), gets no certificate; None where it may.

        Both are asked at once. "" is no account's thumbprint.
        """
        ...


class RenewalReads(Protocol):
    """What renewal information rests on beside the certificates (RFC 9773), as committed."""

    async def is_replaced(self, certificate_id: int) -> bool:
        """Was a certificate issued to an order that named this one as its predecessor?"""
        ...

    async def changes(self) -> int:
        """How many certificates' rows were changed after they were made, by a revocation mostly, in whatever process.

        Rows that were read since it had this value stand as they were read.
        """
        ...


class ExternalKeyReads(Protocol):
    """Keys for external account bindings, as committed, revoked ones too."""

    async def external_key(self, kid: str) -> ExternalAccountKey:
        """The key of this `kid`; NotFound, in the time that a key takes: strangers ask, and shall not learn from it."""
        ...

    async def external_keys(self, *, after: int, limit: int) -> tuple[ExternalAccountKey, ...]:
        """Keys with row ids above `after`, ascending, at most `limit`: a page."""
        ...


class ClaimReads(Protocol):
    """What was used up, as committed."""

    async def is_claimed(self, digest: bytes) -> bool:
        """Was it used before? A `no` may be out of date by the commit, which decides."""
        ...


class SettingsReads(Protocol):
    """Provisioners, rules and owners, under one revision number."""

    async def settings(self) -> Settings:
        """The settings of the newest committed revision; parsed once per revision, cheap to call for every request."""
        ...
