"""Which octets are an Ed25519 public key that proves something (RFC 8032 5.1).

Rules: the one canonical encoding, a point on the curve, and none of the eight points of small order, under which a
signature can be made without a private key (with y = 0 an all-zero signature verifies in OpenSSL). The library
below checks none of the three.
"""

from __future__ import annotations

from dayfly.core.problems import BadPublicKey

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, P) % P
_SIGN = 1 << 255

# The y coordinates of the points whose order divides 8: the neutral one, order 2, order 4, and two of order 8.
_Y8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_ORDER_Y = frozenset({1, P - 1, 0, _Y8, P - _Y8})


def check_ed25519_point(raw: bytes) -> None:
    """Raise BadPublicKey unless `raw` (32 octets) is the canonical encoding of a point of large order on the curve."""
    y = int.from_bytes(raw, "little") & (_SIGN - 1)
    if y >= P:
        raise BadPublicKey("the Ed25519 key is not in its canonical encoding (RFC 8032 5.1.3)")
    if y in _SMALL_ORDER_Y:
        raise BadPublicKey("the Ed25519 key is a point of small order; anyone can sign for it")
    # x^2 = (y^2 - 1) / (d y^2 + 1) has a root exactly where the product has one (Euler's criterion).
    square = y * y
    if pow((square - 1) * (_D * square + 1), (P - 1) // 2, P) != 1:
        raise BadPublicKey("the Ed25519 key is not a point on the curve")
