"""Nonces as sealed counters."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dayfly.core.acme.nonces import INSTANCE_OCTETS, KEY_OCTETS, SealedCounter, seal, unseal
from dayfly.core.jose.encoding import b64u_decode, b64u_encode

KEY = bytes(range(KEY_OCTETS))
INSTANCE = b"abcd"


@given(
    key=st.binary(min_size=KEY_OCTETS, max_size=KEY_OCTETS),
    instance=st.binary(min_size=INSTANCE_OCTETS, max_size=INSTANCE_OCTETS),
    counter=st.integers(0, (1 << 64) - 1),
)
def test_unseal_gives_what_was_sealed(key: bytes, instance: bytes, counter: int) -> None:
    """Whatever was sealed comes back under the same key."""
    assert unseal(key, seal(key, instance, counter)) == SealedCounter(instance, counter)


def test_nonce_is_base64url_of_at_least_128_bits__rfc8555_6_5_1() -> None:
    """36 characters of the URL alphabet, no padding: 216 bits, of which a guesser has to find the 120 of the MAC."""
    nonce = seal(KEY, INSTANCE, 0)
    assert re.fullmatch(r"[A-Za-z0-9_-]{36}", nonce)
    assert 8 * len(b64u_decode(nonce)) >= 128


def test_counters_and_instances_give_different_nonces() -> None:
    """No two counters, instances or keys share a nonce."""
    nonces = {seal(KEY, instance, counter) for instance in (INSTANCE, b"abce") for counter in range(1000)}
    assert len(nonces) == 2000
    assert seal(bytes(KEY_OCTETS), INSTANCE, 0) not in nonces


@pytest.mark.parametrize("at", range(27))
def test_changed_octet_is_no_nonce(at: int) -> None:
    """Instance, counter and MAC are all sealed."""
    data = bytearray(b64u_decode(seal(KEY, INSTANCE, 5)))
    data[at] ^= 1
    assert unseal(KEY, b64u_encode(bytes(data))) is None


@pytest.mark.parametrize(
    "nonce",
    [
        "",
        "AAAA",
        "A" * 36,
        "A" * 40,
        "é" * 36,
        "A" * 35 + "=",
        "A" * 35 + " ",
        "A" * 35 + "\n",
        "A" * 34 + "+/",
        "A" * 1000,
    ],
)
def test_what_we_never_made_is_no_nonce(nonce: str) -> None:
    """Text of another length, alphabet or key is None, and never an error."""
    assert unseal(KEY, nonce) is None


def test_another_keys_nonce_is_none() -> None:
    """Only who has the key can make one."""
    assert unseal(KEY, seal(bytes(KEY_OCTETS), INSTANCE, 5)) is None
