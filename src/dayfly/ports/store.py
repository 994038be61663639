"""All that is durable, in one Protocol.

Rules: families of reads hang on it by name; there is one way to write for use cases, `commit`, and its contract is the
one that the promises of the house rest on.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from dayfly.ports.changes import Changes, Receipt
from dayfly.ports.crls import CRLs
from dayfly.ports.denials import Denials
from dayfly.ports.log import LogReads
from dayfly.ports.reads import (
    AccountReads,
    AuthorizationReads,
    CertificateReads,
    ClaimReads,
    ExternalKeyReads,
    OrderReads,
    RenewalReads,
    SettingsReads,
)


class Store(Protocol):
    """All that is durable.

    Any number of coroutines of one event loop may use it at once. Reads see committed rows only. `commit` returns only
    when the group that holds the changes is durable, log entries included; if it raises, nothing of this change set has
    happened (Conflict, Unavailable), and other change sets of the same group are not harmed. `prune` removes what
    retention says is over, in slices of at most `limit` rows of a kind, and gives the number removed: orders and
    authorizations whose `expires` lies before `orders_before`, claims whose `expires` lies before `claims_before`;
    never certificates, accounts or log entries. `check` raises Unavailable when the
    store cannot be used.
    """

    accounts: AccountReads
    orders: OrderReads
    authorizations: AuthorizationReads
    certificates: CertificateReads
    renewals: RenewalReads
    external_keys: ExternalKeyReads
    claims: ClaimReads
    settings: SettingsReads
    log: LogReads
    denials: Denials
    crls: CRLs

    async def commit(self, changes: Changes) -> Receipt:
        """Write the change set durably, with its log entries."""
        ...

    async def prune(self, *, orders_before: datetime, claims_before: datetime, limit: int) -> int:
        """Remove ended orders and claims that nobody can use again; how many went."""
        ...

    async def check(self) -> None:
        """Raise Unavailable when the store cannot be read or written."""
        ...

    async def newest_id(self) -> int:
        """The highest row id of orders, accounts and certificates, 0 for none: a new process goes on above it."""
        ...

    async def size_bytes(self) -> int:
        """The space that the store takes, in bytes."""
        ...

    async def close(self) -> None:
        """Finish what is under way, and let go of files and connections."""
        ...
