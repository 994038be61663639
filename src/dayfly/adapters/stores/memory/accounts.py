"""Accounts in memory, and what belongs to them: keys of external ones, and what was used up."""

from __future__ import annotations

from datetime import datetime

from dayfly.core.acme.external_accounts import ExternalAccountKey
from dayfly.core.acme.objects import Account
from dayfly.errors import NotFound


class MemoryAccounts:
    """Accounts."""

    def __init__(self, rows: dict[int, Account]) -> None:
        """Read these rows."""
        self._rows = rows

    async def account(self, account_id: int) -> Account:
        """The account with this id; NotFound."""
        if account_id not in self._rows:
            raise NotFound(f"no account {account_id:016x}")
        return self._rows[account_id]

    async def account_by_key(self, provisioner: str, thumbprint: str) -> Account | None:
        """The account of this provisioner with this key."""
        wanted = (provisioner, thumbprint)
        return next((one for one in self._rows.values() if (one.provisioner, one.thumbprint) == wanted), None)

    async def accounts_of_key(self, thumbprint: str) -> tuple[Account, ...]:
        """The accounts of all provisioners with this key."""
        return tuple(one for one in self._rows.values() if one.thumbprint == thumbprint)

    async def accounts(self, *, after: int, limit: int) -> tuple[Account, ...]:
        """A page of accounts by id."""
        return tuple(self._rows[key] for key in sorted(self._rows) if key > after)[:limit]


class MemoryExternalKeys:
    """Keys for external account bindings."""

    def __init__(self, rows: dict[int, ExternalAccountKey]) -> None:
        """Read these rows."""
        self._rows = rows

    async def external_key(self, kid: str) -> ExternalAccountKey:
        """The key of this `kid`; NotFound."""
        for one in self._rows.values():
            if one.kid == kid:
                return one
        raise NotFound("no such external account key")

    async def external_keys(self, *, after: int, limit: int) -> tuple[ExternalAccountKey, ...]:
        """A page of keys by row id."""
        return tuple(self._rows[key] for key in sorted(self._rows) if key > after)[:limit]


class MemoryClaims:
    """What was used up."""

    def __init__(self, rows: dict[bytes, datetime]) -> None:
        """Read these rows."""
        self._rows = rows

    async def is_claimed(self, digest: bytes) -> bool:
        """Was it used before?"""
        return digest in self._rows
