"""Nonces and validators that make trouble, for chaos mode only (core/acme/chaos).

Rules: both stand before real ones and change nothing about them; a nonce that is refused without need is spent all the
same, and both the one in that very answer and those of newNonce are good, so that the one retry of RFC 8555 6.5
succeeds, whichever of them a client takes.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextvars import ContextVar

from dayfly.core.acme.chaos import is_bad_nonce
from dayfly.core.problems import BadNonce
from dayfly.ports.nonces import Nonces
from dayfly.ports.validation import Location, Validated, ValidationTarget, Validator, ValidatorSpec

_taken: ContextVar[bool] = ContextVar("this request's nonce was taken", default=False)


class ChaoticNonces:
    """Refuses a share of good nonces."""

    def __init__(self, nonces: Nonces, share: float) -> None:
        """`nonces` are the real ones; `share` is below 1."""
        self._nonces = nonces
        self._share = share

    def issue(self) -> str:
        """A fresh nonce; one that goes out with the answer to a request whose nonce was taken may be a bad one."""
        nonce = self._nonces.issue()
        if _taken.get():
            _taken.set(False)  # the next request of this connection may have the same context
            return nonce
        while is_bad_nonce(nonce, self._share):
            nonce = self._nonces.issue()
        return nonce

    async def spend(self, nonce: str) -> None:
        """Use it up; BadNonce, also for a good one now and then."""
        await self._nonces.spend(nonce)
        _taken.set(not is_bad_nonce(nonce, self._share))
        if not _taken.get():
            raise BadNonce("the nonce is good, and refused all the same: this CA is in chaos mode; use the fresh one")


class DelayedValidator:
    """Waits a random while before each look."""

    def __init__(
        self,
        validator: Validator,
        most: float,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """`validator` is the real one, `most` in seconds; `draw` gives a share in [0, 1)."""
        self._validator = validator
        self._most = most
        self._sleep = sleep
        self._draw = draw

    @property
    def spec(self) -> ValidatorSpec:
        """The real one's."""
        return self._validator.spec

    async def locate(self, target: ValidationTarget) -> Location:
        """The real one's."""
        return await self._validator.locate(target)

    async def validate(self, target: ValidationTarget, location: Location) -> Validated | Location:
        """The real one's, a while later."""
        await self._sleep(self._draw() * self._most)
        return await self._validator.validate(target, location)
