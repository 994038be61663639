"""Signatures by a MAC (RFC 7515, RFC 7518 3.2)."""

from __future__ import annotations

from typing import Any

import pytest

from dayfly.core.jose.encoding import b64u_decode, b64u_encode
from dayfly.core.jose.macs import MAX_TEXT, is_mac_of, make_mac, parse_mac, render_mac
from dayfly.core.problems import Malformed

# RFC 7515 A.1: the header, the payload, the key and the MAC of the RFC itself.
PROTECTED = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9"
PAYLOAD = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
KEY = b64u_decode("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
MAC = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
GOOD = {"protected": PROTECTED, "payload": PAYLOAD, "signature": MAC}


def test_mac_of_the_rfc_is_the_keys__rfc7515_a_1() -> None:
    """The RFC's own example verifies, under its key alone."""
    parsed = parse_mac(GOOD, what="it")
    assert is_mac_of(parsed, KEY)
    assert not is_mac_of(parsed, KEY[:-1])
    assert not is_mac_of(parse_mac({**GOOD, "signature": MAC[:-3]}, what="it"), KEY)
    assert make_mac(parsed.signing_input, KEY) == b64u_decode(MAC)
    assert parsed.header == {"typ": "JWT", "alg": "HS256"}


def test_what_is_rendered_is_parsed_and_is_the_keys() -> None:
    """Its header says the algorithm beside what it was given."""
    parsed = parse_mac(render_mac(b"{}", header={"kid": "one"}, secret=KEY), what="it")
    assert (parsed.header, parsed.payload) == ({"alg": "HS256", "kid": "one"}, b"{}")
    assert is_mac_of(parsed, KEY)


@pytest.mark.parametrize(
    ("members", "what"),
    [
        ({}, "protected, payload and signature"),
        ({**GOOD, "header": {}}, "nothing else"),
        ({**GOOD, "payload": 5}, "as strings"),
        ({**GOOD, "signature": "A" * (MAX_TEXT + 1)}, "larger than"),
        ({**GOOD, "signature": "A="}, "not acceptable"),
        ({**GOOD, "payload": "é"}, "not acceptable"),
        ({**GOOD, "protected": b64u_encode(b"[]")}, "not acceptable"),
        ({**GOOD, "protected": b64u_encode(b'{"alg":"HS384"}')}, "alg must be HS256"),
        ({**GOOD, "protected": b64u_encode(b"{}")}, "alg must be HS256"),
        ({**GOOD, "protected": b64u_encode(b'{"alg":"HS256","crit":[]}')}, "crit and b64"),
        ({**GOOD, "protected": b64u_encode(b'{"alg":"HS256","b64":true}')}, "crit and b64"),
    ],
)
def test_other_form_algorithm_or_extension_is_malformed__rfc8555_7_3_4(members: dict[str, Any], what: str) -> None:
    """Each is named, after what it is that was looked at."""
    with pytest.raises(Malformed, match=f"^it.*{what}"):
        parse_mac(members, what="it")
