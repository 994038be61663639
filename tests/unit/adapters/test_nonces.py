"""Replay nonces: each good once, none kept (RFC 8555 6.5, acme.md part 4)."""

from __future__ import annotations

import asyncio
import re

import pytest

from dayfly.adapters.nonces import RingNonces
from dayfly.core.acme.nonces import KEY_OCTETS, seal, unseal
from dayfly.core.problems import BadNonce

KEY, INSTANCE = b"k" * KEY_OCTETS, b"inst"


def spend(nonces: RingNonces, nonce: str) -> None:
    """Use a nonce up."""
    asyncio.run(nonces.spend(nonce))


def test_nonce_is_good_once__d9() -> None:
    """The second use is refused."""
    nonces = RingNonces()
    nonce = nonces.issue()
    spend(nonces, nonce)
    with pytest.raises(BadNonce):
        spend(nonces, nonce)


def test_nonces_do_not_repeat_and_have_the_form__d7() -> None:
    """Base64url without padding, at least 128 bits, no repeat."""
    nonces = RingNonces()
    made = [nonces.issue() for _ in range(10_000)]
    assert len(set(made)) == len(made)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{36}", one) for one in made)


def test_nonce_that_left_the_ring_is_spent__acme_4() -> None:
    """Only the newest ones are good; each of them once, also after the ring has turned."""
    nonces = RingNonces(ring=16)
    first = nonces.issue()
    rest = [nonces.issue() for _ in range(16)]
    with pytest.raises(BadNonce):
        spend(nonces, first)
    for nonce in rest:
        spend(nonces, nonce)
    for nonce in (*rest, first):
        with pytest.raises(BadNonce):
            spend(nonces, nonce)


@pytest.mark.parametrize("nonce", ["", "AAAA", "=", "A" * 36, "é" * 36, "A" * 5000])
def test_what_we_did_not_make_is_refused__d14(nonce: str) -> None:
    """Garbage looks like a spent one."""
    with pytest.raises(BadNonce):
        spend(RingNonces(), nonce)


def test_nonce_of_another_start_is_refused__d11() -> None:
    """Another process's nonce, or one from before a restart, is refused, and so is a counter that was never given."""
    with pytest.raises(BadNonce):
        spend(RingNonces(), RingNonces().issue())
    nonces = RingNonces()
    with pytest.raises(BadNonce):
        spend(nonces, seal(nonces._rings.key, nonces._rings.instances[0], 0))


def test_sealed_counter_opens_with_its_key_alone() -> None:
    """What was sealed comes back; a changed character, or another key, gives nothing."""
    nonce = seal(KEY, INSTANCE, 77)
    found = unseal(KEY, nonce)
    assert found is not None
    assert (found.instance, found.counter) == (INSTANCE, 77)
    assert unseal(b"x" * KEY_OCTETS, nonce) is None
    for place in range(len(nonce)):
        changed = nonce[:place] + ("A" if nonce[place] != "A" else "B") + nonce[place + 1 :]
        assert unseal(KEY, changed) is None
