"""Accounts as SQLite has them, and what belongs to them: keys of external ones, and what was used up."""

from __future__ import annotations

from dayfly.adapters.stores import rows
from dayfly.adapters.stores.sqlite.reader import Reader
from dayfly.adapters.stores.sqlite.recent import RecentRows
from dayfly.core.acme.external_accounts import NOBODY, ExternalAccountKey
from dayfly.core.acme.objects import Account
from dayfly.errors import NotFound


class AccountTable:
    """Accounts."""

    def __init__(self, reader: Reader, recent: RecentRows) -> None:
        """Read through `reader` what is not among the recent ones."""
        self._reader = reader
        self._recent = recent

    async def account(self, account_id: int) -> Account:
        """The account with this id; NotFound."""
        known = self._recent.account(account_id)
        if known is not None:
            return known
        row = self._reader.one("SELECT document FROM accounts WHERE id = ?", account_id)
        if row is None:
            raise NotFound(f"no account {account_id:016x}")
        account = rows.parse_account(row[0])
        self._recent.keep(account)
        return account

    async def account_by_key(self, provisioner: str, thumbprint: str) -> Account | None:
        """The account of this provisioner with this key."""
        statement = "SELECT document FROM accounts WHERE provisioner = ? AND thumbprint = ?"
        row = self._reader.one(statement, provisioner, thumbprint)
        return None if row is None else rows.parse_account(row[0])

    async def accounts_of_key(self, thumbprint: str) -> tuple[Account, ...]:
        """The accounts of all provisioners with this key."""
        statement = "SELECT document FROM accounts WHERE thumbprint = ?"
        return tuple(rows.parse_account(row[0]) for row in self._reader.all(statement, thumbprint))

    async def accounts(self, *, after: int, limit: int) -> tuple[Account, ...]:
        """A page of accounts by id."""
        found = self._reader.all("SELECT document FROM accounts WHERE id > ? ORDER BY id LIMIT ?", after, limit)
        return tuple(rows.parse_account(row[0]) for row in found)


class ExternalKeyTable:
    """Keys for external account bindings."""

    _SELECT = "SELECT secret, scope, document FROM external_keys"
    _NOBODY = rows.external_key_row(NOBODY)[4:]

    def __init__(self, reader: Reader) -> None:
        """Read through `reader`."""
        self._reader = reader

    async def external_key(self, kid: str) -> ExternalAccountKey:
        """The key of this `kid`; NotFound."""
        row = self._reader.one(f"{self._SELECT} WHERE kid = ?", kid)
        found = rows.parse_external_key(*(row or self._NOBODY))  # a miss takes the time of a hit
        if row is None:
            raise NotFound("no such external account key")
        return found

    async def external_keys(self, *, after: int, limit: int) -> tuple[ExternalAccountKey, ...]:
        """A page of keys by row id."""
        found = self._reader.all(f"{self._SELECT} WHERE id > ? ORDER BY id LIMIT ?", after, limit)
        return tuple(rows.parse_external_key(*row) for row in found)


class ClaimTable:
    """What was used up."""

    def __init__(self, reader: Reader) -> None:
        """Read through `reader`."""
        self._reader = reader

    async def is_claimed(self, digest: bytes) -> bool:
        """Was it used before?"""
        return self._reader.one("SELECT 1 FROM claims WHERE digest = ?", digest) is not None
