"""Nonces that are refused without need, and validators that take their time."""

from __future__ import annotations

import asyncio
import contextvars
from ipaddress import IPv4Address
from itertools import pairwise

import pytest

from acme_peer import ScriptedValidator
from dayfly.adapters.chaos import ChaoticNonces, DelayedValidator
from dayfly.adapters.nonces import RingNonces
from dayfly.core.identifiers import Identifier, IdentifierType
from dayfly.core.problems import BadNonce
from dayfly.ports.validation import Validated, ValidationTarget

TARGET = ValidationTarget(Identifier(IdentifierType.DNS, "api.internal.example"), "token", "token.thumbprint")


def test_nonce_behind_a_refusal_is_good__rfc8555_6_5() -> None:
    """Whatever the share: the one retry that a client makes with the nonce of the refusal succeeds."""
    nonces = ChaoticNonces(RingNonces(ring=1 << 12), 0.5)

    async def request(nonce: str) -> tuple[bool, str]:
        """One request in a context of its own, as the server has it: was it taken, and what came with the answer."""
        try:
            await nonces.spend(nonce)
        except BadNonce:
            return False, nonces.issue()
        return True, nonces.issue()

    async def run() -> list[bool]:
        outcomes, nonce = [], nonces.issue()
        for _ in range(300):
            task = asyncio.create_task(request(nonce), context=contextvars.copy_context())
            taken, nonce = await task
            outcomes.append(taken)
        return outcomes

    outcomes = asyncio.run(run())
    assert 50 < outcomes.count(False) < 150
    assert not any(first is second is False for first, second in pairwise(outcomes))


def test_nonce_of_new_nonce_is_good__rfc8555_7_2() -> None:
    """A client that asks for another one after a refusal, as certbot does, succeeds too."""
    nonces = ChaoticNonces(RingNonces(ring=1 << 12), 0.9)

    async def run() -> None:
        for _ in range(100):
            await asyncio.create_task(nonces.spend(nonces.issue()), context=contextvars.copy_context())

    asyncio.run(run())


def test_nonce_that_was_refused_is_spent__rfc8555_6_5() -> None:
    """Once refused, never good."""
    nonces = ChaoticNonces(RingNonces(ring=1 << 12), 0.9)

    async def run() -> None:
        refused = nonces.issue()
        with pytest.raises(BadNonce, match="refused all the same"):
            for _ in range(100):
                await nonces.spend(refused)
                refused = nonces.issue()
        with pytest.raises(BadNonce, match="unknown, too old or spent"):
            await nonces.spend(refused)

    asyncio.run(run())


def test_validator_waits_first_and_looks_then__acme_15() -> None:
    """A share of the longest delay, then what the real one says."""
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    real = ScriptedValidator()
    delayed = DelayedValidator(real, 3.0, sleep=sleep, draw=lambda: 0.5)
    location = asyncio.run(delayed.locate(TARGET))
    assert location.addresses == (IPv4Address("127.0.0.1"),)
    assert asyncio.run(delayed.validate(TARGET, location)) == Validated("127.0.0.1:80")
    assert (waited, real.looks, delayed.spec) == ([1.5], 1, real.spec)
