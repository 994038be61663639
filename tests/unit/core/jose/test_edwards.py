"""Which Ed25519 keys prove something; the points are computed here, from the curve's definition in RFC 8032 5.1."""

from __future__ import annotations

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given, settings
from hypothesis import strategies as st

from dayfly.core.jose.edwards import L, P, check_ed25519_point
from dayfly.core.problems import BadPublicKey

D = -121665 * pow(121666, -1, P) % P
Point = tuple[int, int]
NEUTRAL: Point = (0, 1)


def _add(left: Point, right: Point) -> Point:
    (x1, y1), (x2, y2) = left, right
    product = D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, P) % P
    return x, (y1 * y2 + x1 * x2) * pow(1 - product, -1, P) % P


def _times(factor: int, point: Point) -> Point:
    total = NEUTRAL
    for bit in f"{factor:b}":
        total = _add(total, total)
        if bit == "1":
            total = _add(total, point)
    return total


def _root(square: int) -> int | None:
    root = pow(square, (P + 3) // 8, P)
    if root * root % P != square % P:
        root = root * pow(2, (P - 1) // 4, P) % P
    return root if root * root % P == square % P else None


def _point_at(y: int) -> Point | None:
    x = _root((y * y - 1) * pow(D * y * y + 1, -1, P))
    return None if x is None else (x, y)


def _encode(y: int, sign: int = 0) -> bytes:
    return (y | sign << 255).to_bytes(32, "little")


def _small_order_points() -> set[Point]:
    """All eight: the multiples of L times a point, for a point whose torsion part has order 8."""
    y = 2
    while True:
        point = _point_at(y)
        if point is not None:
            torsion = _times(L, point)
            if _times(4, torsion) != NEUTRAL:
                return {_times(factor, torsion) for factor in range(8)} | {NEUTRAL}
        y += 1


SMALL = sorted(_small_order_points())


def test_there_are_eight_points_of_small_order__rfc8032_5_1() -> None:
    """The cofactor is 8, so that the list below is all of them."""
    assert len(SMALL) == 8
    assert {_times(8, point) for point in SMALL} == {NEUTRAL}


@pytest.mark.parametrize(("x", "y"), SMALL)
@pytest.mark.parametrize("flip", [0, 1])
def test_small_order_points_are_refused__acme_j8(x: int, y: int, flip: int) -> None:
    """Each point of small order is refused, with either sign bit."""
    with pytest.raises(BadPublicKey, match="small order"):
        check_ed25519_point(_encode(y, (x & 1) ^ flip))


def test_a_small_order_key_verifies_forged_signatures__acme_j8() -> None:
    """The fact that the refusal is there for: the library takes an all-zero signature under y = 0."""
    key = ed25519.Ed25519PublicKey.from_public_bytes(_encode(0))
    assert any(_verifies(key, b"%d" % number) for number in range(64))


def _verifies(key: ed25519.Ed25519PublicKey, data: bytes) -> bool:
    try:
        key.verify(bytes(64), data)
    except InvalidSignature:
        return False
    return True


@pytest.mark.parametrize("y", [P, P + 1, P + 18, 2**255 - 1])
@pytest.mark.parametrize("sign", [0, 1])
def test_noncanonical_encodings_are_refused__rfc8032_5_1_3(y: int, sign: int) -> None:
    """A y at or above p is a second spelling of another one."""
    with pytest.raises(BadPublicKey, match="canonical"):
        check_ed25519_point(_encode(y, sign))


@settings(max_examples=60, deadline=None)
@given(st.integers(2, P - 2), st.sampled_from([0, 1]))
def test_exactly_the_points_on_the_curve_pass__rfc8032_5_1_3(y: int, sign: int) -> None:
    """A key passes where x can be recovered, and only there."""
    if y in {point[1] for point in SMALL}:
        return
    if _point_at(y) is None:
        with pytest.raises(BadPublicKey, match="not a point"):
            check_ed25519_point(_encode(y, sign))
    else:
        check_ed25519_point(_encode(y, sign))


def test_generated_keys_pass__rfc8032_5_1_5() -> None:
    """A key that the library makes is never refused."""
    for _ in range(32):
        check_ed25519_point(ed25519.Ed25519PrivateKey.generate().public_key().public_bytes_raw())


def test_the_order_of_the_group_is_right__rfc8032_5_1() -> None:
    """L times the base point, whose y is 4/5, is the neutral element."""
    base = _point_at(4 * pow(5, -1, P) % P)
    assert base is not None
    assert _times(L, base) == NEUTRAL
