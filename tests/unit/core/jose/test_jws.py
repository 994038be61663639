"""The envelope of ACME and compact tokens; ids J1 to J35 are those of acme.md part 16."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cpu_time import allowed_ms, least_ms
from dayfly.core.jose.encoding import b64u_encode
from dayfly.core.jose.jwk import KeyAlgorithm, accepted_algorithms, parse_jwk, public_key_of, render_jwk
from dayfly.core.jose.jws import (
    MAX_HEADER,
    UnverifiedJWS,
    parse_compact,
    parse_flattened,
    sign_compact,
    sign_flattened,
    verify,
)
from dayfly.core.jose.signatures import PrivateKey, sign
from dayfly.core.problems import BadPublicKey, BadSignatureAlgorithm, Malformed, Refused

VECTORS = Path(__file__).parents[3] / "vectors" / "jose"
EVERY = accepted_algorithms(["PS256", "ES512"])
# A fresh clone builds hypothesis's table of Unicode inside the first draw of a text (a second), and a busy machine is
# no fault of ours: neither may fail a property.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
URL = "https://ca.internal.example:9000/acme/internal-acme/new-order"
KID = "https://ca.internal.example:9000/acme/internal-acme/account/0123456789abcdef"
NONCE = "c2VhbGVkLW5vbmNlLTAx"

KEY = ec.generate_private_key(ec.SECP256R1())
RSA_KEY = rsa.generate_private_key(65537, 2048)
PRIVATE: dict[KeyAlgorithm, PrivateKey] = {
    KeyAlgorithm.ES256: KEY,
    KeyAlgorithm.ES384: ec.generate_private_key(ec.SECP384R1()),
    KeyAlgorithm.ES512: ec.generate_private_key(ec.SECP521R1()),
    KeyAlgorithm.EDDSA: ed25519.Ed25519PrivateKey.generate(),
    KeyAlgorithm.RS256: RSA_KEY,
    KeyAlgorithm.PS256: RSA_KEY,
}
JWK = render_jwk(KEY.public_key())
GOOD_HEADER: dict[str, Any] = {"alg": "ES256", "kid": KID, "nonce": NONCE, "url": URL}
Drop = object()


def _header(**changes: object) -> bytes:
    """A good header with these members changed, or without those given as `Drop`."""
    members = {**GOOD_HEADER, **changes}
    return json.dumps({name: value for name, value in members.items() if value is not Drop}).encode()


def _body(
    protected_header: bytes | None = None, *, content: bytes = b"{}", outer: Mapping[str, object] | None = None
) -> bytes:
    """A body signed with KEY over whatever header is given; `outer` replaces or drops its outer members."""
    protected, encoded = b64u_encode(_header() if protected_header is None else protected_header), b64u_encode(content)
    signature = b64u_encode(sign(f"{protected}.{encoded}".encode(), key=KEY, alg=KeyAlgorithm.ES256))
    members = {"protected": protected, "payload": encoded, "signature": signature, **(outer or {})}
    return json.dumps({name: value for name, value in members.items() if value is not Drop}).encode()


def _refused(body: bytes, match: str, error: type[Refused] = Malformed) -> None:
    with pytest.raises(error, match=match):
        parse_flattened(body)


# --- what passes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alg", list(KeyAlgorithm))
@pytest.mark.parametrize("by_key", [True, False])
def test_what_the_client_signs_the_server_verifies__rfc8555_6_2(alg: KeyAlgorithm, *, by_key: bool) -> None:
    """For every algorithm, named by kid or carried as jwk, a signed request parses and verifies."""
    key = PRIVATE[alg]
    body = sign_flattened(b'{"a":"b"}', key=key, alg=alg, url=URL, nonce=NONCE, kid=None if by_key else KID, jwk=by_key)
    jws = parse_flattened(body, algorithms=EVERY)
    public = public_key_of(key.public_key())
    verify(jws.signing_input, jws.signature, key=public, alg=jws.header.alg)
    assert (jws.header.alg, jws.header.nonce, jws.header.url) == (alg, NONCE, URL)
    assert (jws.header.kid, jws.header.jwk) == ((None, public) if by_key else (KID, None))
    assert (jws.payload, jws.is_empty_payload) == (b'{"a":"b"}', False)


def test_a_signed_body_has_three_members_and_no_padding__rfc8555_6_2() -> None:
    """What goes out is the flattened form itself, with alg, kid, nonce and url in its header."""
    body = json.loads(sign_flattened(b"{}", key=KEY, alg=KeyAlgorithm.ES256, url=URL, nonce=NONCE, kid=KID))
    assert set(body) == {"protected", "payload", "signature"}
    assert not any("=" in text for text in body.values())
    assert parse_flattened(json.dumps(body).encode()).header.kid == KID


@pytest.mark.parametrize(("payload", "is_empty"), [(None, True), (b"", True), (b"{}", False), (b'""', False)])
def test_post_as_get_is_told_from_an_empty_object__acme_j25_rfc8555_6_3(
    payload: bytes | None, *, is_empty: bool
) -> None:
    """Only the empty string is a POST-as-GET; `{}` and `""` are payloads."""
    jws = parse_flattened(sign_flattened(payload, key=KEY, alg=KeyAlgorithm.ES256, url=URL, nonce=NONCE, kid=KID))
    assert jws.is_empty_payload is is_empty
    assert jws.payload == (payload or b"")


def test_a_missing_nonce_is_left_to_the_caller__acme_d12_rfc8555_6_5() -> None:
    """No nonce parses to None, as the answer is badNonce; a key change's inner JWS has none at all."""
    body = sign_flattened(b"{}", key=KEY, alg=KeyAlgorithm.ES256, url=URL, nonce=None, jwk=True)
    assert parse_flattened(body).header.nonce is None


@pytest.mark.parametrize("white", [" ", "\n", "\t\r\n "])
def test_white_space_between_members_passes__rfc8259_2(white: str) -> None:
    """JSON's own white space is nobody's business."""
    text = _body().decode().replace(", ", f",{white}").replace("}", f"{white}}}") + white
    assert parse_flattened(text.encode()).header.kid == KID


def test_unknown_outer_members_are_ignored__rfc7515_7_2_1() -> None:
    """The RFC wants it so; the duplicate check still holds around them."""
    assert parse_flattened(_body(outer={"extra": {"a": [1]}})).header.kid == KID


def test_unknown_header_members_are_ignored_and_urls_in_them_not_read__acme_j18() -> None:
    """jku, x5u and x5c may hold anything: nothing looks at them."""
    body = _body(_header(jku="https://evil.example/", x5u=5, x5c=["!"], typ="JOSE+JSON", cty=1))
    assert parse_flattened(body) == UnverifiedJWS(
        parse_flattened(_body()).header,
        b"{}",
        parse_flattened(body).signing_input,
        parse_flattened(body).signature,
    )


def test_the_signing_input_is_the_text_as_it_came__rfc7515_5_2() -> None:
    """The octets that were signed are the client's own, not our rendering of them."""
    header = b'{ "url":"' + URL.encode() + b'", "kid":"k", "alg":"ES256" }'
    jws = parse_flattened(_body(header))
    assert jws.signing_input == f"{b64u_encode(header)}.{b64u_encode(b'{}')}".encode()
    verify(jws.signing_input, jws.signature, key=public_key_of(KEY.public_key()), alg=jws.header.alg)


@pytest.mark.parametrize("name", ["rfc7515-a2-rs256", "rfc7515-a3-es256", "rfc7515-a4-es512", "rfc8037-a4-ed25519"])
def test_published_tokens_verify__rfc7515_a_rfc8037_a4(name: str) -> None:
    """The examples of the RFCs, read as compact tokens."""
    vector = json.loads((VECTORS / f"{name}.json").read_text())
    token = parse_compact(vector["token"], algorithms=EVERY)
    verify(token.signing_input, token.signature, key=parse_jwk(vector["jwk"]), alg=token.alg)


# --- the algorithm ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "alg",
    ["none", "None", "", "HS256", "HS512", "RS1", "RS384", "ES256K", "es256", "PS256", "ES512", "EDDSA", "x" * 99],
)
def test_other_algorithms_are_refused_with_the_list__acme_j1_j2(alg: str) -> None:
    """Whatever is not in the accepted set is badSignatureAlgorithm, and the answer lists the set."""
    with pytest.raises(BadSignatureAlgorithm) as caught:
        parse_flattened(_body(_header(alg=alg)))
    assert caught.value.algorithms == ("RS256", "ES256", "ES384", "EdDSA")


def test_the_accepted_set_is_the_callers__acme_3() -> None:
    """A switch that is on adds its algorithm, and a smaller set takes one away."""
    assert parse_flattened(_body(_header(alg="PS256")), algorithms=EVERY).header.alg is KeyAlgorithm.PS256
    with pytest.raises(BadSignatureAlgorithm) as caught:
        parse_flattened(_body(), algorithms=frozenset({KeyAlgorithm.EDDSA}))
    assert caught.value.algorithms == ("EdDSA",)


@pytest.mark.parametrize("alg", [Drop, None, 5, True, ["ES256"], {"a": "ES256"}])
def test_an_algorithm_that_is_no_string_is_malformed__acme_j4(alg: object) -> None:
    """Missing is malformed too."""
    _refused(_body(_header(alg=alg)), "alg is missing or not a string")


def test_an_algorithm_that_does_not_fit_the_key_is_malformed__acme_j3() -> None:
    """The header may say RS256; the key on record decides, and refuses."""
    jws = parse_flattened(_body(_header(alg="RS256")))
    with pytest.raises(Malformed, match="does not fit"):
        verify(jws.signing_input, jws.signature, key=public_key_of(KEY.public_key()), alg=jws.header.alg)


# --- the serialization -----------------------------------------------------------------------------------------------


def test_the_compact_form_is_malformed__acme_j9() -> None:
    """A token is no envelope."""
    _refused(sign_compact(b"{}", key=KEY, alg=KeyAlgorithm.ES256).encode(), "not a flattened JWS")


@pytest.mark.parametrize("value", [{}, None, {"alg": "ES256"}, "", []])
@pytest.mark.parametrize("member", ["header", "signatures"])
def test_unprotected_headers_and_general_form_are_malformed__acme_j10_j24(member: str, value: object) -> None:
    """`header` and `signatures` are refused by being there, even empty."""
    _refused(_body(outer={member: value}), "header or signatures")


@pytest.mark.parametrize("member", ["protected", "payload", "signature"])
@pytest.mark.parametrize("value", [Drop, None, 5, {}, [""], True])
def test_each_member_is_there_and_a_string__acme_j24(member: str, value: object) -> None:
    """A member that is missing, null or of another type is malformed."""
    _refused(_body(outer={member: value}), f"{member} is missing or not a string")


@pytest.mark.parametrize("member", ["protected", "payload", "signature"])
@pytest.mark.parametrize("where", ["front", "back"])
@pytest.mark.parametrize("value", ['""', '"e30"', "1", "{}"])
def test_duplicate_outer_members_are_malformed__acme_j13(member: str, where: str, value: str) -> None:
    """A second member of a name is malformed wherever it stands and whatever it holds."""
    text = _body().decode()
    twice = f'{{"{member}":{value},{text[1:]}' if where == "front" else f'{text[:-1]},"{member}":{value}}}'
    _refused(twice.encode(), "member twice")


def test_a_duplicate_with_an_escaped_name_is_malformed__acme_j13() -> None:
    """Another spelling of a name is the same name."""
    _refused(_body()[:-1] + b',"p\\u0061yload":""}', "member twice")


@pytest.mark.parametrize("suffix", [b"x", b"{}", b"\0", b",", b"]"])
def test_trailing_data_is_malformed__acme_3(suffix: bytes) -> None:
    """Nothing follows the object."""
    _refused(_body() + suffix, "not a flattened JWS")


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{}", b'"a"', b"\xef\xbb\xbf{}", b"\xff" * 20])
def test_other_bodies_are_malformed__acme_3(body: bytes) -> None:
    """What is no JSON object with the three members is malformed."""
    _refused(body, "flattened JWS|missing")


@pytest.mark.parametrize("member", ["protected", "payload", "signature"])
@pytest.mark.parametrize("suffix", ["=", "==", " ", "+", "/", "é", "\n", '"', "\\"])
def test_members_are_strict_base64url__acme_j23(member: str, suffix: str) -> None:
    """Padding, blanks, the other alphabet and non-ASCII are malformed."""
    value = json.loads(_body())[member]
    _refused(_body(outer={member: value + suffix}), "is not acceptable: base64url")


@pytest.mark.parametrize("member", ["protected", "payload", "signature"])
def test_stray_bits_are_malformed__acme_j23(member: str) -> None:
    """Bits that a lenient decoder drops are refused."""
    _refused(_body(outer={member: "QR"}), "stray bits")


# --- the protected header --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"crit": ["b64"], "b64": False},
        {"b64": True},
        {"b64": None},
        {"crit": ["exp"]},
        {"crit": []},
        {"crit": None},
        {"crit": "url"},
    ],
)
def test_extensions_are_malformed__acme_j11_j12(changes: dict[str, object]) -> None:
    """The crit and b64 are refused in any form, empty ones included."""
    _refused(_body(_header(**changes)), "crit and b64 are not taken")


@pytest.mark.parametrize("extra", [b'"alg":"ES256"', b'"url":"https://x.example/"', b'"kid":"other"', b'"x":1,"x":1'])
def test_duplicate_header_members_are_malformed__acme_j13(extra: bytes) -> None:
    """A member of the protected header stands there once."""
    _refused(_body(_header()[:-1] + b"," + extra + b"}"), "member twice")


def test_duplicate_members_inside_jwk_are_malformed__acme_j13() -> None:
    """The key's own members stand there once."""
    inner = json.dumps(JWK)[:-1] + ',"kty":"EC"}'
    header = _header(kid=Drop)[:-1] + b',"jwk":' + inner.encode() + b"}"
    _refused(_body(header), "member twice")


@pytest.mark.parametrize(
    "header", [b"", b"null", b"[]", b"{", b"\xff", b"\xef\xbb\xbf{}", '{"alg":"ES256"}'.encode("utf-16"), b"{}x"]
)
def test_a_header_that_is_no_object_is_malformed__rfc7515_4(header: bytes) -> None:
    """The protected header is one JSON object in UTF-8."""
    _refused(_body(header), "protected header is not acceptable")


@pytest.mark.parametrize("changes", [{"jwk": JWK}, {"kid": Drop}])
def test_both_or_neither_of_jwk_and_kid_is_malformed__acme_j14(changes: dict[str, object]) -> None:
    """Exactly one of them names the key."""
    _refused(_body(_header(**changes)), "exactly one of jwk and kid")


@pytest.mark.parametrize("kid", [None, 5, True, [KID], {}])
def test_a_kid_that_is_no_string_is_malformed__rfc7515_4_1_4(kid: object) -> None:
    """The kid is a string."""
    _refused(_body(_header(kid=kid)), "kid is not a string")


@pytest.mark.parametrize("jwk", [None, 5, "key", [JWK]])
def test_a_jwk_that_is_no_object_is_malformed__rfc7515_4_1_3(jwk: object) -> None:
    """The jwk is an object."""
    _refused(_body(_header(kid=Drop, jwk=jwk)), "jwk is not an object")


@pytest.mark.parametrize("url", [Drop, None, 5, [URL]])
def test_a_missing_url_is_malformed__acme_j22_rfc8555_6_4(url: object) -> None:
    """The url is there and a string; which one, the caller compares."""
    _refused(_body(_header(url=url)), "url is missing or not a string")


@pytest.mark.parametrize("nonce", ["", "abc=", "a b", "a+b", "a/b", "é", "abc\n", None, 5, ["abc"]])
def test_a_nonce_that_is_not_base64url_is_malformed__acme_d14_rfc8555_6_5_2(nonce: object) -> None:
    """The server must refuse it as malformed, not as a bad nonce."""
    _refused(_body(_header(nonce=nonce)), "nonce is not base64url")


def _sized_header(size: int) -> bytes:
    filler = size - len(_header(z=""))
    return _header(z="z" * filler)


def test_the_header_is_capped__security_7() -> None:
    """8,192 octets pass, one more is malformed before it is decoded."""
    assert parse_flattened(_body(_sized_header(MAX_HEADER))).header.kid == KID
    _refused(_body(_sized_header(MAX_HEADER + 1)), "larger than 8192 octets")


@pytest.mark.parametrize(
    ("jwk", "error"),
    [
        ({**JWK, "d": "c2VjcmV0"}, BadPublicKey),
        ({"kty": "oct", "k": "c2VjcmV0"}, BadPublicKey),
        ({**JWK, "x": JWK["y"]}, BadPublicKey),
        ({**JWK, "x": JWK["x"][:-2]}, Refused),
        ({**JWK, "use": "enc"}, Malformed),
        ({**JWK, "alg": "ES384"}, Malformed),
        ({"kty": "EC"}, Malformed),
    ],
)
def test_a_bad_key_in_the_header_is_refused__acme_j32_j34(jwk: dict[str, str], error: type[Refused]) -> None:
    """What the JWK reader refuses, the envelope refuses."""
    _refused(_body(_header(kid=Drop, jwk=jwk)), ".", error)


def test_an_alg_of_the_key_other_than_the_headers_is_malformed__acme_j34() -> None:
    """Both fit an RSA key, but they differ."""
    jwk = {**render_jwk(RSA_KEY.public_key()), "alg": "PS256"}
    _refused(_body(_header(alg="RS256", kid=Drop, jwk=jwk)), "another than the header's")


def test_a_flipped_payload_does_not_verify__acme_j35() -> None:
    """The payload is part of what was signed."""
    jws = parse_flattened(_body(content=b'{"a":1}'))
    other = parse_flattened(_body(content=b'{"a":3}'))
    with pytest.raises(Malformed, match="does not verify"):
        verify(other.signing_input, jws.signature, key=public_key_of(KEY.public_key()), alg=jws.header.alg)


# --- compact tokens --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alg", list(KeyAlgorithm))
def test_a_signed_token_verifies__rfc7515_7_1(alg: KeyAlgorithm) -> None:
    """For every algorithm a token parses and verifies, with the header that was given."""
    text = sign_compact(b'{"sub":"a"}', key=PRIVATE[alg], alg=alg, header={"kid": "k", "typ": "JWT"})
    token = parse_compact(text, algorithms=EVERY)
    verify(token.signing_input, token.signature, key=public_key_of(PRIVATE[alg].public_key()), alg=token.alg)
    assert (token.header, token.payload) == ({"alg": alg, "kid": "k", "typ": "JWT"}, b'{"sub":"a"}')


@pytest.mark.parametrize("parts", [0, 1, 2, 4, 5, 1000])
def test_a_token_has_three_parts__security_t13(parts: int) -> None:
    """An encrypted token has five; whatever is not three is malformed."""
    with pytest.raises(Malformed, match="exactly three parts"):
        parse_compact(".".join(["e30"] * parts))


def _token(header: bytes) -> str:
    return f"{b64u_encode(header)}.e30.AAAA"


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "ES256", "cty": "JWT"},
        {"alg": "ES256", "enc": "A256GCM"},
        {"alg": "ES256", "zip": "DEF"},
    ],
)
def test_nested_compressed_and_encrypted_tokens_are_malformed__security_t13(header: dict[str, str]) -> None:
    """A token holds claims, not another token."""
    with pytest.raises(Malformed, match="nested, compressed and encrypted"):
        parse_compact(_token(json.dumps(header).encode()))


@pytest.mark.parametrize(
    "header",
    [b'{"alg":"ES256","crit":[]}', b'{"alg":"ES256","b64":true}', b'{"alg":"ES256","alg":"none"}', b"[]", b'{"alg":1}'],
)
def test_a_tokens_header_is_as_strict__security_t13(header: bytes) -> None:
    """Extensions, duplicates, another top and an alg that is no string are malformed."""
    with pytest.raises(Malformed):
        parse_compact(_token(header))


@pytest.mark.parametrize("alg", ["none", "HS256", "ES256K"])
def test_a_tokens_algorithm_is_in_the_set__security_t7(alg: str) -> None:
    """The header never chooses an algorithm that is not accepted."""
    with pytest.raises(BadSignatureAlgorithm):
        parse_compact(_token(json.dumps({"alg": alg}).encode()))


@pytest.mark.parametrize("token", ["é.e30.AAAA", "e30.é.AAAA", "\ud800.a.b", "e30=.e30.AAAA", "e30.e30.AA=="])
def test_a_tokens_parts_are_strict_base64url__acme_j23(token: str) -> None:
    """The parts of a token are held to the same alphabet."""
    with pytest.raises(Malformed):
        parse_compact(token)


# --- signing what cannot be signed -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("kid", "jwk"), [(None, False), (KID, True)])
def test_signing_names_the_key_in_one_way__rfc8555_6_2(kid: str | None, *, jwk: bool) -> None:
    """Both or neither is a fault of the caller."""
    with pytest.raises(ValueError, match="exactly one of kid and jwk"):
        sign_flattened(b"{}", key=KEY, alg=KeyAlgorithm.ES256, url=URL, nonce=NONCE, kid=kid, jwk=jwk)


def test_signing_with_an_algorithm_of_another_kind_is_refused__rfc7518_3_1() -> None:
    """The algorithm must fit the key, for either form."""
    with pytest.raises(ValueError, match="does not fit"):
        sign_flattened(b"{}", key=KEY, alg=KeyAlgorithm.RS256, url=URL, nonce=NONCE, kid=KID)
    with pytest.raises(ValueError, match="does not fit"):
        sign_compact(b"{}", key=KEY, alg=KeyAlgorithm.ES384)


@pytest.mark.parametrize("member", ["alg", "crit", "b64"])
def test_signing_takes_no_extensions__rfc7515_4_1_11(member: str) -> None:
    """What we would refuse we do not make."""
    with pytest.raises(ValueError, match="extensions are not taken"):
        sign_compact(b"{}", key=KEY, alg=KeyAlgorithm.ES256, header={member: "x"})


# --- anything at all -------------------------------------------------------------------------------------------------

members = st.fixed_dictionaries(
    {},
    optional={
        name: st.none() | st.integers() | st.text(max_size=12) | st.binary(max_size=40).map(b64u_encode)
        for name in ("protected", "payload", "signature", "header", "other")
    },
)
headers = st.fixed_dictionaries(
    {},
    optional={
        "alg": st.sampled_from(["ES256", "none", 1]),
        "kid": st.sampled_from([KID, None]),
        "jwk": st.sampled_from([JWK, {}, 1]),
        "nonce": st.sampled_from([NONCE, "=", None]),
        "url": st.sampled_from([URL, None]),
        "crit": st.just([]),
    },
)


@patient
@given(
    st.binary(max_size=80)
    | members.map(lambda value: json.dumps(value).encode())
    | headers.map(lambda value: _body(json.dumps(value).encode()))
)
def test_any_body_gives_an_envelope_or_a_refusal__rfc8555_6_7(body: bytes) -> None:
    """No octets raise anything but Refused, and what is taken names its key in one way."""
    try:
        jws = parse_flattened(body)
    except Refused:
        return
    assert (jws.header.kid is None) is not (jws.header.jwk is None)
    assert isinstance(jws.header.url, str)


@patient
@given(st.text(max_size=60) | st.lists(st.text("eyJ09-_=.", max_size=12), max_size=5).map(".".join))
def test_any_token_gives_a_token_or_a_refusal__rfc8555_6_7(text: str) -> None:
    """No text raises anything but Refused."""
    try:
        parse_compact(text)
    except Refused:
        return


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 65536,
        b'{"protected":' * 5000,
        b'{"protected":"' + b"A" * 65000 + b'"',
        _body(b"[" * 8192),
        _body(b'{"a":' * 1600),
        _body(content=b"[" * 48_000),
        b'{"a":"' + b'\\"' * 32_000 + b'"}',
    ],
    ids=["lists", "objects", "long", "header of lists", "header of objects", "payload of lists", "quotes"],
)
def test_64_kib_of_anything_is_parsed_or_refused_fast__acme_j27(body: bytes) -> None:
    """No body of the cap's size takes 20 ms."""
    assert least_ms(lambda: parse_flattened(body), refusal=Refused) < allowed_ms(20)
