"""Another key for an account: what the inner request must be (RFC 8555 7.3.5)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from dayfly.core.acme.key_change import KeyChange, open_key_change, plan_key_change
from dayfly.core.events import AccountKeyChanged
from dayfly.core.jose.jwk import KeyAlgorithm, public_key_of
from dayfly.core.jose.jws import sign_flattened
from dayfly.core.problems import BadPublicKey, Malformed
from factories import NOW, account, account_key, ec_key

URL = "https://ca.internal.example/acme/acme/key-change"
KID = "https://ca.internal.example/acme/acme/account/0000000000000007"


def inner(**changes: Any) -> tuple[bytes, KeyChange]:
    """An inner request, and what it says."""
    new, old = changes.get("new") or ec_key(), account_key()
    payload = {"account": KID, "oldKey": json.loads(old.jwk), **changes.get("payload", {})}
    signed = sign_flattened(
        json.dumps(payload).encode(),
        key=new,
        alg=changes.get("alg", KeyAlgorithm.ES256),
        url=changes.get("url", URL),
        nonce=changes.get("nonce"),
        kid=changes.get("kid"),
        jwk="kid" not in changes,
    )
    return signed, KeyChange(public_key_of(new.public_key()), old.thumbprint)


def test_inner_request_says_which_key_replaces_which__rfc8555_7_3_5() -> None:
    """The new key is the one that signed."""
    signed, said = inner()
    assert open_key_change(signed, url=URL, kid=KID) == said


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"kid": KID}, "must carry the new key"),
        ({"nonce": "bm9uY2U"}, "no nonce"),
        ({"url": URL + "/"}, "`url` of the inner request"),
        ({"payload": {"account": KID[:-1] + "8"}}, "`account` is not"),
        ({"payload": {"oldKey": {}}}, "kty"),
        ({"payload": {"oldKey": None}}, "oldKey"),
    ],
)
def test_inner_request_that_does_not_fit_is_malformed__acme_k4(changes: dict[str, Any], what: str) -> None:
    """Each fault is named."""
    with pytest.raises(Malformed, match=what):
        open_key_change(inner(**changes)[0], url=URL, kid=KID)


def test_signature_of_the_inner_request_counts__acme_k4() -> None:
    """One of other bytes is refused."""
    members = json.loads(inner()[0])
    members["payload"] = json.loads(inner()[0])["payload"]
    with pytest.raises(Malformed, match="does not verify"):
        open_key_change(json.dumps(members).encode(), url=URL, kid=KID)


def test_key_is_judged_before_its_signature__acme_k5() -> None:
    """A key that is not accepted is badPublicKey, whatever it signed."""
    members = json.loads(inner(new=rsa.generate_private_key(65537, 2056), alg=KeyAlgorithm.RS256)[0])
    members["signature"] = "AAAA"
    with pytest.raises(BadPublicKey):
        open_key_change(json.dumps(members).encode(), url=URL, kid=KID)


def test_account_gets_the_new_key__rfc8555_7_3_5() -> None:
    """Its thumbprint and key, and nothing else; the event tells of both."""
    old, new = account_key(), account_key()
    mine = account(key=old)
    changed, event = plan_key_change(mine, KeyChange(new, old.thumbprint), now=NOW)
    assert changed == account(key=new)
    assert event == AccountKeyChanged(NOW, 7, "acme", new.thumbprint, old.thumbprint)


def test_wrong_old_key_and_same_new_key_are_malformed__acme_k3() -> None:
    """`oldKey` is the account's, and the new one is another."""
    old = account_key()
    with pytest.raises(Malformed, match="`oldKey`"):
        plan_key_change(account(key=old), KeyChange(account_key(), account_key().thumbprint), now=NOW)
    with pytest.raises(Malformed, match="already"):
        plan_key_change(account(key=old), KeyChange(old, old.thumbprint), now=NOW)
