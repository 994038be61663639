"""What looks whether a name is its asker's: validators, and the reader of CAA records.

Rules: each look ends in bounded time and memory; every failure is a `ValidationFailed`, which keeps what the client may
know apart from what only the operator may; no octet that was fetched is in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Protocol

import msgspec

from dayfly.core.acme.caa import CaaRecord
from dayfly.core.identifiers import Identifier, IdentifierType
from dayfly.core.problems import Refused
from dayfly.errors import DayflyError


class ValidatorSpec(msgspec.Struct, frozen=True, gc=False):
    """What a validator can prove: the challenge type, the identifier types, and whether a wildcard may be proved so.

    `token` is off where a proof lasts, and so cannot hold a token of one challenge.
    """

    type: str
    identifier_types: frozenset[IdentifierType]
    wildcards: bool
    token: bool = True


class ValidationTarget(msgspec.Struct, frozen=True):
    """What to fetch and what to expect; `key_authorization` is compared in constant time and never shown.

    A wildcard's identifier is the name below its `*.`, and `wildcard` is true. `account_urls` are those under which the
    account may know itself, the canonical one first; `issuers` the CA's names that a lasting record may have.
    """

    identifier: Identifier
    token: str
    key_authorization: str
    account_urls: tuple[str, ...] = ()
    issuers: tuple[str, ...] = ()
    wildcard: bool = False


@dataclass(frozen=True, slots=True)
class Location:
    """Where a validator will look: addresses that were judged, in the order of dialling; none where DNS is asked.

    A validator may give a kind of its own, which says more about what it will do there.
    """

    addresses: tuple[IPv4Address | IPv6Address, ...] = ()


class Validated(msgspec.Struct, frozen=True):
    """A proof that matched; `address` is the address and port dialled, for the record.

    `reuse_for` is for how many seconds it may serve other orders, where the proof itself says so; None where it says
    nothing.
    """

    address: str
    reuse_for: int | None = None


class ValidationFailed(DayflyError):
    """A proof was not found.

    `problem` (Connection, Dns, Tls, IncorrectResponse, Unauthorized) says which step failed and holds no fetched byte.
    `transient` says that another try may mend it. `operator_note` is for the CA's own log only: the address that was
    refused and the setting that would open it.
    """

    def __init__(self, problem: Refused, *, transient: bool, operator_note: str = "") -> None:
        """Keep what the client may know beside what only the operator may."""
        super().__init__(problem.detail)
        self.problem = problem
        self.transient = transient
        self.operator_note = operator_note


class Validator(Protocol):
    """Looks whether the answer to a challenge is where it should be (RFC 8555 8).

    `locate` and `validate` each end in bounded time and memory. Between them the caller waits for its turn, so that
    few look at one address at once; so what was located may be a while old, and is dialled as it is. Where what is
    found leads elsewhere, `validate` gives that location instead of a proof, and is asked again with it once its turn
    there has come: that, too, ends, after a bounded number of steps. Every failure is a `ValidationFailed`; nothing
    else leaves them.
    """

    @property
    def spec(self) -> ValidatorSpec:
        """What this validator can prove."""
        ...

    async def locate(self, target: ValidationTarget) -> Location:
        """Find out where to look; an address that may not be dialled refuses the name."""
        ...

    async def validate(self, target: ValidationTarget, location: Location) -> Validated | Location:
        """Look there once: the proof, or where to look next."""
        ...


class CaaReader(Protocol):
    """The CAA records of names (RFC 8659)."""

    async def relevant(self, name: str) -> tuple[CaaRecord, ...]:
        """The relevant set of records, found by climbing; empty where there is none. ValidationFailed, transient."""
        ...
