"""What the X.509 library raises for octets that it cannot read, all of it.

Rules: whoever reads octets from outside catches this tuple; most of it is no ValueError, and none of it is documented
in one place, so a fuzzer found it (tests/unit/core/x509/test_csr.py goes on looking).
"""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

UNREADABLE: tuple[type[Exception], ...] = (
    ValueError,  # most of what is no DER
    TypeError,  # a string type that the library takes for no text
    UnsupportedAlgorithm,  # keys and signatures beyond its list
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,  # x400Address and ediPartyName
)
ABSENT: tuple[type[Exception], ...] = (x509.ExtensionNotFound, *UNREADABLE)
"""The same for an extension that may not be there."""
UNSIGNED: tuple[type[Exception], ...] = (InvalidSignature, *UNREADABLE)
"""The same for a signature that may not verify."""
