"""External account keys: what they may be, whom they bind, what they vouch for (RFC 8555 7.3.4, acme.md part 5)."""

from __future__ import annotations

import json
from datetime import timedelta
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acme_peer import Client
from dayfly.core.acme.external_accounts import (
    KID_LENGTH,
    MAX_USES,
    UNLIMITED,
    bind,
    check_external_key,
    check_vouched,
    make_kid,
    parse_binding,
    preauthorize,
    refusal_of,
    render_binding,
    revoked,
    scope_of,
    unbound,
    vouches,
)
from dayfly.core.acme.objects import AuthorizationStatus, OrderStatus
from dayfly.core.events import AccountBound, NamesPreauthorized
from dayfly.core.frozen import replace
from dayfly.core.jose.encoding import b64u_encode
from dayfly.core.jose.jwk import PublicKey, public_key_of
from dayfly.core.problems import Malformed, OrderNotReady
from dayfly.errors import ConfigError
from external_accounts import NEW_ACCOUNT, SECRET, binding, external_key
from factories import NOW, account, account_key, authorization, dns, ec_key, order, valid_authorization

HOUR = timedelta(hours=1)
KID = external_key().kid
VOUCHING = {"allow": ("api.internal.example",), "sources": ("10.0.0.0/8",), "preauthorized": True}


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, "active"),
        ({"expires": NOW + HOUR}, "active"),
        ({"uses": UNLIMITED, "used": 10_000}, "active"),
        ({"uses": 2, "used": 1}, "active"),
        ({"used": 1}, "used"),
        ({"expires": NOW}, "expired"),
        ({"revoked_at": NOW, "expires": NOW, "used": 1}, "revoked"),
    ],
)
def test_key_is_active_until_it_is_over(changes: dict[str, Any], state: str) -> None:
    """Used up, expired or taken back."""
    assert external_key(**changes).state(NOW) == state


def test_kid_is_letters_and_digits() -> None:
    """Of one length, and no two alike."""
    made = {make_kid(bytes([number]) * 16) for number in range(256)}
    assert len(made) == 256
    assert all(len(one) == KID_LENGTH and one.isalnum() and one.isascii() for one in made)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"reference": "a\nb"}, "printable"),
        ({"reference": "a" * 251}, "250"),
        ({"uses": -1}, "between 1 and"),
        ({"uses": MAX_USES + 1}, "between 1 and"),
        ({"expires": NOW}, "expired already"),
        ({"sources": ("10.0.0.1/8",)}, "no network"),
        ({"preauthorized": True}, "needs names and networks"),
        (VOUCHING | {"allow": ()}, "needs names and networks"),
        (VOUCHING | {"sources": ()}, "needs names and networks"),
    ],
)
def test_key_that_cannot_be_is_refused(changes: dict[str, Any], what: str) -> None:
    """With the reason."""
    with pytest.raises(ConfigError, match=what):
        check_external_key(external_key(**changes))


def test_key_that_can_be_is_taken() -> None:
    """The plain one, and one with everything."""
    check_external_key(external_key())
    check_external_key(external_key(**VOUCHING, uses=UNLIMITED, expires=NOW + HOUR, reference="web"))


def signed(**changes: Any) -> Any:
    """A binding as it is parsed."""
    client = Client(peer=None)  # type: ignore[arg-type]  # only its key is used
    key = public_key_of(client.key.public_key())
    return parse_binding(binding(client, **changes), url=NEW_ACCOUNT, key=key)


def test_binding_that_is_rendered_is_taken__acme_e2() -> None:
    """For this key and URL, and by the secret alone."""
    key = public_key_of(ec_key().public_key())
    for secret, why in ((SECRET, ""), (b"another", "wrong MAC")):
        found = parse_binding(render_binding(KID, secret, key=key, url=NEW_ACCOUNT), url=NEW_ACCOUNT, key=key)
        assert found.kid == KID
        assert refusal_of(found, external_key(), provisioner="acme", source=None, now=NOW) == why


def test_binding_names_its_key__rfc8555_7_3_4() -> None:
    """By kid, and no key is in its header."""
    assert signed().kid == external_key().kid
    headers: tuple[dict[str, Any], ...] = ({"kid": None}, {"jwk": {}})
    for header in headers:
        with pytest.raises(Malformed, match="by `kid`"):
            signed(header=header)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"header": {"nonce": "AAAA"}}, "must have no nonce"),
        ({"header": {"url": NEW_ACCOUNT + "x"}}, "not that of the request"),
        ({"header": {"url": None}}, "not that of the request"),
        ({"payload": b"no JSON"}, "is no public key"),
        ({"payload": b'{"kty":"oct","k":"AAAA"}'}, "is no public key"),
        ({"payload": b'{"kty":"EC"}'}, "crv is missing"),
        ({"bound": ec_key()}, "is not the account's key"),
    ],
)
def test_binding_is_of_this_request_and_this_key__rfc8555_7_3_4(changes: dict[str, Any], what: str) -> None:
    """No nonce, the URL that it is sent to, and for a payload the key that signs the request."""
    with pytest.raises(Malformed, match=what):
        signed(**changes)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, ""),
        ({"sources": ("10.0.0.0/8", "192.0.2.0/24")}, ""),
        ({"provisioner": "other"}, "other provisioner"),
        ({"used": 1}, "used"),
        ({"secret": SECRET[:-1]}, "wrong MAC"),
        ({"secret": b""}, "wrong MAC"),
        ({"sources": ("192.168.0.0/16",)}, "other network"),
    ],
)
def test_log_says_why_a_binding_does_not_hold__acme_e5(changes: dict[str, Any], why: str) -> None:
    """A word for the operator; nothing where it holds."""
    key = external_key(**changes)
    assert refusal_of(signed(), key, provisioner="acme", source=ip_address("192.0.2.1"), now=NOW) == why
    assert refusal_of(signed(), None, provisioner="acme", source=None, now=NOW) == "unknown"


def test_secret_that_nobody_has_binds_nobody__acme_e5() -> None:
    """A MAC under the secret that is compared where there is none proves nothing."""
    forged = signed(secret=bytes(32))
    for key in (None, external_key(secret=b"")):
        assert refusal_of(forged, key, provisioner="acme", source=None, now=NOW)


def test_refusal_of_a_binding_says_nothing_of_why__acme_e5() -> None:
    """One form of words for all, with none of those for the log: whoever guesses learns of no key."""
    refused = unbound()
    assert (refused.type, refused.http_status) == ("unauthorized", 403)
    for word in ("unknown", "provisioner", "used", "expired", "revoked", "MAC", "network"):
        assert word not in refused.detail


def test_account_is_bound_and_the_use_counted__acme_e2() -> None:
    """The last use takes the secret away; one of many does not."""
    bound, used, event = bind(account(), external_key(), now=NOW)
    assert (bound.external_key, used.used, used.bound_at, used.secret) == (external_key().kid, 1, NOW, b"")
    assert event == AccountBound(NOW, 7, "acme", external_key().kid)
    _, more, _ = bind(account(), external_key(uses=2), now=NOW)
    assert (more.used, more.secret) == (1, SECRET)


def test_revoked_key_has_no_secret_and_keeps_its_scope() -> None:
    """It vouches no more; its accounts are held to what it said."""
    key = external_key(**VOUCHING)
    gone = revoked(key, now=NOW)
    assert (gone.secret, gone.revoked_at, scope_of(gone)) == (b"", NOW, scope_of(key))
    assert (vouches(key), vouches(gone), vouches(external_key())) == (True, False, False)
    assert scope_of(key).where == f"eab:{key.kid}"


def test_names_are_born_valid__acme_e10() -> None:
    """Pending ones, with nothing to answer; what was proved before stays; the order is ready."""
    key = external_key(**VOUCHING)
    proved = valid_authorization("b.internal.example")
    ready, event = preauthorize(order(authorizations=(authorization(), proved)), key)
    first, second = ready.authorizations
    assert (first.status, first.challenges, first.validated_by) == (AuthorizationStatus.VALID, (), key.where)
    assert (second, ready.status) == (proved, OrderStatus.READY)
    names = (dns(), dns("b.internal.example"))
    assert event == NamesPreauthorized(NOW, ready.id, 7, "acme", key.kid, names)
    assert preauthorize(replace(ready, status=OrderStatus.READY), key)[0] == ready


def test_word_of_a_revoked_key_counts_no_more__acme_e10() -> None:
    """Its orders are not ready; orders that were proved are."""
    key = external_key(**VOUCHING)
    ready, _ = preauthorize(order(), key)
    check_vouched(ready, key)
    check_vouched(order(authorizations=(valid_authorization(),)), revoked(key, now=NOW))
    with pytest.raises(OrderNotReady, match="revoked"):
        check_vouched(ready, revoked(key, now=NOW))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(("alg", "kid", "url", "nonce", "jwk", "crit", "protected", "payload", "signature"))


@given(st.dictionaries(NAMES | st.text(max_size=8), JSON, max_size=6), st.dictionaries(NAMES, JSON, max_size=6))
def test_any_binding_is_read_or_malformed__rfc8555_7_3_4(members: dict[str, Any], header: dict[str, Any]) -> None:
    """Whatever JSON it is made of, around a good one or not at all: our refusal, and no other error."""
    key = account_key()
    for found in (members, binding_of(key, header)):
        try:
            parse_binding(found, url=NEW_ACCOUNT, key=key)
        except Malformed as refused:
            assert refused.detail  # noqa: PT017 - either is right


def binding_of(key: PublicKey, header: dict[str, Any]) -> dict[str, str]:
    """A binding with another header."""
    whole = {"alg": "HS256", "kid": "kid", "url": NEW_ACCOUNT, **header}
    return {"protected": b64u_encode(json.dumps(whole).encode()), "payload": b64u_encode(key.jwk), "signature": "AAAA"}
