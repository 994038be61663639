"""What a CA answered is held against what was asked for; nothing less is taken (security.md 9)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import x25519
from cryptography.hazmat.primitives.serialization import Encoding

from dayfly.cli.answers import Wanted, check_issued, check_issued_pem, describe, held_key
from dayfly.cli.requesting import parse_names
from dayfly.errors import ClientError
from factories import NAME, NOW, ec_key
from small_pki import PKI, moment

CA = PKI(born=NOW)
KEY = ec_key()


def wanted(**changes: Any) -> Wanted:
    """Our key, one name, the CA's root."""
    values: dict[str, Any] = {"key": KEY.public_key(), "names": parse_names([NAME]), "roots": (CA.root,)}
    return Wanted(**(values | changes))


def check(*names: str, want: Wanted | None = None, at: timedelta = timedelta(minutes=1), **leaf: Any) -> str:
    """Check an answer; the chain that comes of it."""
    made = CA.leaf(*names, **({"key": KEY} | leaf)).public_bytes(Encoding.DER)
    return check_issued(made, (CA.intermediate,), want or wanted(), at=NOW + at).chain


def test_answer_that_is_as_asked_becomes_a_chain() -> None:
    """Leaf first, the intermediate after it, no root."""
    chain = check()
    assert chain.count("BEGIN CERTIFICATE") == 2
    assert check_issued_pem(chain, wanted(), at=NOW).chain == chain


@pytest.mark.parametrize(
    ("case", "says"),
    [
        ({"key": ec_key()}, "another key"),
        ({"names": ("evil.example",)}, "other names"),
        ({"names": (NAME, "evil.example")}, "other names"),
        ({"want": {"names": parse_names([NAME, "b.example"])}}, "other names"),
        ({"want": {"roots": (PKI(born=NOW).root,)}}, "chain"),
        ({"at": timedelta(hours=2)}, "expired"),
        ({"at": timedelta(minutes=-1)}, "valid from"),
    ],
    ids=["another key", "another name", "one more name", "one name less", "another root", "expired", "not yet valid"],
)
def test_answer_that_differs_is_never_taken(case: dict[str, Any], says: str) -> None:
    """Each deviation has its word, and nothing is written."""
    case = dict(case)
    names, want = case.pop("names", (NAME,)), wanted(**case.pop("want", {}))
    with pytest.raises(ClientError, match=says) as caught:
        check(*names, want=want, **case)
    assert "nothing was written" in caught.value.message


@pytest.mark.parametrize("text", ["", "x", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"])
def test_answer_that_is_no_chain_is_refused(text: str) -> None:
    """Text that is none, and keys above all."""
    with pytest.raises(ClientError, match="not a certificate chain"):
        check_issued_pem(text, wanted(), at=NOW)


def test_leaf_that_is_no_certificate_is_refused() -> None:
    """DER may be anything."""
    with pytest.raises(ClientError, match="not an X"):
        check_issued(b"\x30\x00", (), wanted(), at=NOW)


def test_key_of_an_unknown_kind_is_refused() -> None:
    """What cannot be compared is not taken."""
    with pytest.raises(ClientError, match="of this kind"):
        held_key(x25519.X25519PrivateKey.generate().public_key())


def test_facts_for_programs_are_decimal_hex_and_utc__interfaces_6() -> None:
    """The serial in both forms, the times with Z."""
    facts = describe(CA.leaf(serial=255, begin=moment("2026-01-02T03:04:05")), certificate="a.crt")
    assert facts == {
        "certificate": "a.crt", "serial": "255", "serial_hex": "ff",
        "not_before": "2026-01-02T03:04:05Z", "not_after": "2026-01-02T04:04:05Z",
    }  # fmt: skip
