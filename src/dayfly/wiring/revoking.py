"""Revoking on the CA's own host, beside a running server or without one: what is meant, and many at once.

Rules: whoever has the home may revoke anything, and the log says that it was done here; each certificate is a commit of
its own, in groups, so that what was done stands whatever comes after; one that somebody else revoked meanwhile counts
as revoked already.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from dayfly.adapters.system import SystemClock
from dayfly.authority.revocations import TRIES, being_changed, find_by_serial, revoke_once
from dayfly.config.values import Config
from dayfly.core.acme.objects import Certificate
from dayfly.core.acme.revoking import Revoker
from dayfly.core.fleet.selecting import Selection
from dayfly.core.problems import AlreadyRevoked, NoSuchResource, Refused
from dayfly.core.x509.chain import ChainError, load_presented
from dayfly.errors import Conflict, UsageError
from dayfly.ports.changes import Changes
from dayfly.ports.store import Store
from dayfly.ports.system import Clock
from dayfly.wiring.commands import certificates_of, opened

AT_ONCE = 50  # commits that wait together, and share a sync
MOST = 10_000  # certificates in one call
ADMIN = Revoker("an admin on the CA's host", may_bar_key=True)


@dataclass(frozen=True, slots=True)
class Desk:
    """Where revocations are written, and when."""

    clock: Clock
    store: Store


@dataclass(frozen=True, slots=True)
class Revoked:
    """What came of it: those that were revoked now, and how many were already."""

    certificates: tuple[Certificate, ...]
    already: int


async def find_serial(config: Config, serial: int) -> Certificate:
    """The certificate with this serial; UsageError."""
    async with opened(config) as store:
        try:
            return await find_by_serial(Desk(SystemClock(), store), serial)
        except NoSuchResource as error:
            raise UsageError(error.detail, hint="see what there is: dayfly ca list --all") from None


async def find_file(config: Config, der: bytes) -> Certificate:
    """The stored certificate with exactly these octets; UsageError."""
    try:
        serial = load_presented(der).serial_number
    except ChainError as error:
        raise UsageError(error.message, hint="name a file with a certificate of this CA") from None
    found = await find_serial(config, serial)
    if found.der != der:
        raise UsageError("this CA has issued another certificate with this serial number", hint="look at the file")
    return found


async def find_all(config: Config, selection: Selection) -> tuple[Certificate, ...]:
    """What lives and is meant, in the order in which it was issued; UsageError where it is more than MOST."""
    found = []
    async for certificate in certificates_of(config, selection.now, everything=False):
        if selection.takes(certificate):
            found.append(certificate)
        if len(found) > MOST:
            raise UsageError(f"more than {MOST} certificates are meant", hint="narrow it: --name, --owner, --account")
    return tuple(found)


async def revoke_all(
    config: Config, certificates: Sequence[Certificate], *, reason: int, told: Callable[[int], None]
) -> Revoked:
    """Revoke them; `told` hears how many are done, now and then."""
    done: list[Certificate] = []
    already = 0
    async with opened(config) as store:
        desk = Desk(SystemClock(), store)
        for group in _groups(certificates):
            outcomes = await asyncio.gather(*(_revoke(desk, one, reason) for one in group), return_exceptions=True)
            for certificate, outcome in zip(group, outcomes, strict=True):
                if isinstance(outcome, AlreadyRevoked):
                    already += 1
                elif isinstance(outcome, BaseException):
                    raise _stopped(outcome, done=len(done), total=len(certificates)) from outcome
                else:
                    done.append(certificate)
            told(len(done) + already)
    return Revoked(tuple(done), already)


def _groups(certificates: Sequence[Certificate]) -> Iterator[Sequence[Certificate]]:
    for place in range(0, len(certificates), AT_ONCE):
        yield certificates[place : place + AT_ONCE]


async def _revoke(desk: Desk, certificate: Certificate, reason: int) -> None:
    for _ in range(TRIES):
        try:
            await revoke_once(desk, certificate, Changes(), ADMIN, reason=reason)
        except Conflict:
            certificate = await desk.store.certificates.certificate(certificate.id)
            continue
        return
    raise being_changed()


def _stopped(error: BaseException, *, done: int, total: int) -> BaseException:
    """What a person hears of a failure in the middle: how far it came, and that it can be run again."""
    if isinstance(error, Refused):
        hint = "run the same command again: what is revoked is left out"
        return UsageError(f"{done} of {total} were revoked, then: {error.detail}", hint=hint)
    return error
