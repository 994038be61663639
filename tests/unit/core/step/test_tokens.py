"""One-time and renewal tokens: what is taken, and everything that is not (security.md T1 to T13)."""

from __future__ import annotations

import base64
import hashlib
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from dayfly.core.frozen import replace
from dayfly.core.jose.encoding import b64u_encode
from dayfly.core.jose.jwk import KeyAlgorithm, public_key_of
from dayfly.core.jose.jws import sign_compact
from dayfly.core.problems import Unauthorized
from dayfly.core.step import tokens
from dayfly.core.step.audiences import Endpoint, accepted_audiences, audience
from dayfly.core.step.token_making import TokenClaims, make_jti, sign_renewal_token, sign_token
from dayfly.core.step.tokens import VerifiedClaims, parse_renewal_token, parse_token, verify_renewal, verify_token
from factories import NAME, NOW, ec_key

BASE = "https://ca.internal.example:9000"
KEY = ec_key()
PUBLIC = public_key_of(KEY.public_key())
SIGN = accepted_audiences((BASE,), Endpoint.SIGN)
RENEW = accepted_audiences((BASE,), Endpoint.RENEW)
UNIX = int(NOW.timestamp())

CLAIMS = TokenClaims(
    issuer="platform-team",
    subject=NAME,
    audience=audience(BASE, Endpoint.SIGN),
    jti=make_jti(bytes(32)),
    not_before=NOW,
    expires=NOW + timedelta(minutes=5),
    sans=(NAME,),
)
PLAIN: dict[str, Any] = {
    "iss": "platform-team",
    "sub": NAME,
    "sans": [NAME],
    "aud": f"{BASE}/1.0/sign",
    "jti": "j",
    "nbf": UNIX,
    "iat": UNIX,
    "exp": UNIX + 300,
}


def token(header: dict[str, Any] | None = None, *, key: Any = KEY, **claims: Any) -> str:
    """A token with these claims changed; a claim that is `...` is left out."""
    document = {name: value for name, value in {**PLAIN, **claims}.items() if value is not ...}
    payload = msgspec.json.encode(document)
    return sign_compact(payload, key=key, alg=KeyAlgorithm.ES256, header=header or {"kid": "kid"})


def judge(text: str, now: Any = NOW) -> VerifiedClaims:
    """The claims, for the provisioner `platform-team`."""
    return verify_token(parse_token(text), key=PUBLIC, issuer="platform-team", audiences=SIGN, now=now)


def refused(text: str, now: Any = NOW) -> Unauthorized:
    """The refusal."""
    with pytest.raises(Unauthorized) as caught:
        judge(text, now)
    assert caught.value.http_status == 401
    return caught.value


# --- audiences --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "found"),
    [
        ("https://ca.a.b:9000", {"https://ca.a.b:9000/sign", "https://ca.a.b:9000/1.0/sign"}),
        ("https://[::1]:9000", {"https://[::1]:9000/sign", "https://[::1]:9000/1.0/sign"}),
        (
            "https://ca.a.b",
            {
                "https://ca.a.b/sign",
                "https://ca.a.b/1.0/sign",
                "https://ca.a.b:443/sign",
                "https://ca.a.b:443/1.0/sign",
            },
        ),
        (
            "https://[::1]:443",
            {"https://[::1]/sign", "https://[::1]/1.0/sign", "https://[::1]:443/sign", "https://[::1]:443/1.0/sign"},
        ),
        (
            "https://[::1]",
            {"https://[::1]/sign", "https://[::1]/1.0/sign", "https://[::1]:443/sign", "https://[::1]:443/1.0/sign"},
        ),
    ],
)
def test_audiences_of_a_base_url__step_4(base: str, found: set[str]) -> None:
    """With and without `/1.0`, and port 443 written or left out; what the client writes is among them."""
    assert accepted_audiences((base,), Endpoint.SIGN) == found
    assert audience(base, Endpoint.SIGN) in found


# --- the way there and back -------------------------------------------------------------------------------------------


def test_a_token_is_judged_as_it_was_made__t1() -> None:
    """Subject, names, the binding to a request; what is to be claimed lives longer than the token."""
    digest = hashlib.sha256(b"csr").digest()
    full = replace(CLAIMS, csr_digest=digest, root="ab" * 32, user={"team": "a"}, sans=(NAME, "10.0.0.1", NAME))
    found = judge(sign_token(full, key=KEY, kid="kid", now=NOW))
    assert (found.issuer, found.subject, found.sans) == ("platform-team", NAME, (NAME, "10.0.0.1"))
    assert found.confirmed == digest
    assert found.expires > NOW + timedelta(minutes=5) + tokens.LEEWAY


@pytest.mark.parametrize("sans", [..., None, []])
def test_without_names_the_subject_is_the_name__t14(sans: Any) -> None:
    """No sans: the subject alone."""
    assert judge(token(sans=sans)).sans == (NAME,)
    assert judge(sign_token(replace(CLAIMS, sans=None), key=KEY, kid="kid", now=NOW)).sans == (NAME,)


def test_the_header_and_claims_are_those_of_stock_clients__step_4() -> None:
    """alg, kid, typ; and the claims of the table, no other."""
    opened = parse_token(sign_token(CLAIMS, key=KEY, kid="kid", now=NOW))
    assert dict(opened.envelope.header) == {"alg": "ES256", "kid": "kid", "typ": "JWT"}
    assert sorted(opened.unverified_claims) == ["aud", "exp", "iat", "iss", "jti", "nbf", "sans", "sub"]
    assert (opened.unverified_kid, opened.unverified_issuer) == ("kid", "platform-team")


def test_an_rsa_key_signs_too() -> None:
    """The algorithm follows from the key."""
    key = rsa.generate_private_key(65537, 2048)
    text = sign_token(CLAIMS, key=key, kid="kid", now=NOW)
    public = public_key_of(key.public_key())
    assert verify_token(parse_token(text), key=public, issuer="platform-team", audiences=SIGN, now=NOW).subject == NAME


@pytest.mark.parametrize("expires", [NOW, NOW - timedelta(seconds=1), NOW + timedelta(hours=1, seconds=1)])
def test_a_token_that_nobody_takes_is_not_made(expires: Any) -> None:
    """It ends after it begins, within an hour."""
    with pytest.raises(ValueError, match="hour at most"):
        sign_token(replace(CLAIMS, expires=expires), key=KEY, kid="kid", now=NOW)


def test_a_jti_has_256_bits() -> None:
    """No more, no fewer."""
    assert make_jti(b"\xab" * 32) == "ab" * 32
    with pytest.raises(ValueError, match="32 random octets"):
        make_jti(b"short")


# --- identity ---------------------------------------------------------------------------------------------------------


def test_the_jti_is_the_identity_within_its_provisioner__t3() -> None:
    """The same jti in other bytes is the same token; another owner's or another key's jti is another."""
    same = judge(token(jti="x")).reuse_key
    assert judge(token(jti="x", exp=UNIX + 200, more="bytes")).reuse_key == same
    assert judge(token(jti="y")).reuse_key != same
    assert judge(token({"kid": "other"}, jti="x")).reuse_key != same
    other = verify_token(parse_token(token(jti="x", iss="b")), key=PUBLIC, issuer="b", audiences=SIGN, now=NOW)
    assert other.reuse_key != same


def test_without_a_jti_the_signing_input_is_the_identity__t4() -> None:
    """Two signatures over the same octets are one token."""
    first, second = token(jti=...), token(jti=...)
    assert first != second
    assert judge(first).reuse_key == judge(second).reuse_key
    assert judge(first).reuse_key != judge(token(jti=..., exp=UNIX + 299)).reuse_key


@pytest.mark.parametrize("jti", ["", "x" * 1025, 7, ["x"]])
def test_a_jti_that_is_no_short_text_is_refused(jti: Any) -> None:
    """So that it can be an identity."""
    refused(token(jti=jti))


# --- faults -----------------------------------------------------------------------------------------------------------


def test_signed_by_a_stranger__t5() -> None:
    """Another key's signature does not verify."""
    refused(token(key=ec_key()))


def tampered(text: str, part: int, value: bytes) -> str:
    """The token with one part replaced."""
    parts = text.split(".")
    parts[part] = b64u_encode(value)
    return ".".join(parts)


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "a.b", "a.b.c", "a.b.c.d.e", "x" * 40_000,
        tampered(token(), 0, b'{"alg":"none"}'),
        tampered(token(), 0, b'{"alg":"HS256","kid":"kid"}'),
        tampered(token(), 0, b'{"alg":"RS256","kid":"kid"}'),
        tampered(token(), 0, b'{"alg":"ES384","kid":"kid"}'),
        tampered(token(), 0, b'{"kid":"kid"}'),
        tampered(token(), 0, b'{"alg":"ES256","kid":"kid","crit":["b64"],"b64":false}'),
        tampered(token(), 0, b'{"alg":"ES256","kid":"kid","cty":"JWT"}'),
        tampered(token(), 0, b'{"alg":"ES256","kid":"kid","kid":"kid"}'),
        tampered(token(), 1, b'{"iss":"platform-team","iss":"platform-team"}'),
        tampered(token(), 1, b"[]"),
        tampered(token(), 2, b""),
        tampered(token(), 2, b"\x30\x06\x02\x01\x01\x02\x01\x01"),
        tampered(token(), 2, bytes(63)),
    ],
)  # fmt: skip
def test_what_is_no_jws_of_ours__t7_to_t13(text: str) -> None:
    """No JWS, no or another algorithm, an extension, a nested token, a duplicate, a DER or short signature."""
    assert refused(text).reason == "unauthorized"


@pytest.mark.parametrize("member", ["jwk", "jku", "x5u", "x5c", "x5t", "x5cInsecure"])
def test_a_key_in_the_header_is_refused__t8(member: str) -> None:
    """Keys come from our records."""
    refused(token({"kid": "kid", member: "x"}))


@pytest.mark.parametrize(
    "header", [{"kid": "kid", "typ": "at+jwt"}, {"kid": "kid", "typ": 7}, {"kid": 7}, {"kid": None}]
)
def test_an_odd_header_is_refused__t13(header: dict[str, Any]) -> None:
    """Typ is JWT or absent, kid a string."""
    refused(token(header))


@pytest.mark.parametrize("header", [{"typ": "JWT"}, {"kid": "kid", "typ": "JWT"}])
def test_typ_may_be_jwt_and_kid_may_be_missing(header: dict[str, Any]) -> None:
    """Whether a kid must be there is for the look-up to say."""
    assert judge(token(header)).subject == NAME


@pytest.mark.parametrize("issuer", [..., None, "", "Platform-Team", "platform", "platform-team ", ["platform-team"], 7])
def test_iss_is_the_exact_name__t9(issuer: Any) -> None:
    """Missing, another case, a prefix, a list."""
    refused(token(iss=issuer))


@pytest.mark.parametrize(
    "aud",
    [
        ..., None, "", 7, f"{BASE}/1.0/renew", f"{BASE}/1.0/sign/evil", f"{BASE}/1.0/sign#x5c/a", f"{BASE}/1.0/Sign",
        "https://ca.internal.example/1.0/sign", "https://ca.internal.example:9001/1.0/sign",
        "http://ca.internal.example:9000/1.0/sign", "https://evil.example:9000/1.0/sign", "step-certificate-authority",
        [f"{BASE}/1.0/sign"], [f"{BASE}/1.0/sign", "https://evil.example"], f"{BASE}/1.0/sign/", f"{BASE}/2.0/sign",
    ],
)  # fmt: skip
def test_aud_is_an_exact_member__t10(aud: Any) -> None:
    """Another path, host, port, scheme, fragment, a longer path, a list."""
    refused(token(aud=aud))


@pytest.mark.parametrize("aud", [f"{BASE}/1.0/sign", f"{BASE}/sign"])
def test_both_audiences_of_the_endpoint_are_taken__t10(aud: str) -> None:
    """With and without `/1.0`."""
    assert judge(token(aud=aud)).subject == NAME


@pytest.mark.parametrize(
    "times",
    [
        {"exp": ...}, {"exp": None}, {"exp": str(UNIX + 300)}, {"exp": 1e30}, {"exp": True}, {"exp": [UNIX]},
        {"exp": -1}, {"exp": UNIX + 3601}, {"exp": 253402300800}, {"nbf": UNIX + 61}, {"iat": UNIX + 61},
        {"nbf": "x"}, {"iat": "x"}, {"nbf": ..., "exp": UNIX + 3541}, {"nbf": 0},
    ],
)  # fmt: skip
def test_times_that_do_not_hold__t11(times: dict[str, Any]) -> None:
    """No end, an end too far, no number, a start to come."""
    assert refused(token(**times)).reason == "unauthorized"


@pytest.mark.parametrize(
    "times",
    [
        {"nbf": UNIX + 60}, {"iat": UNIX + 60}, {"nbf": ..., "iat": ...}, {"nbf": ..., "exp": UNIX + 3540},
        {"exp": UNIX + 3600}, {"exp": UNIX + 300.5}, {"exp": UNIX - 59, "nbf": UNIX - 100},
    ],
)  # fmt: skip
def test_times_within_the_leeway__step_4(times: dict[str, Any]) -> None:
    """Sixty seconds either way, and an hour in all."""
    assert judge(token(**times)).subject == NAME


def test_an_expired_token_says_so__t11() -> None:
    """The reason is a word of its own, the text names the moment."""
    text = token()
    assert judge(text, NOW + timedelta(seconds=359)).subject == NAME
    error = refused(text, NOW + timedelta(seconds=360))
    assert error.reason == "token_expired"
    assert "expired at 2026-11-24T12:05:00Z" in error.detail


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": ...}, {"sub": ""}, {"sub": 7}, {"sub": "x" * 1025}, {"sans": NAME}, {"sans": {}}, {"sans": [7]},
        {"sans": [""]}, {"sans": ["x" * 1025]}, {"sans": [NAME] * 101},
    ],
)  # fmt: skip
def test_subject_and_names_are_text__step_4(claims: dict[str, Any]) -> None:
    """Empty, too long, too many, of another type."""
    refused(token(**claims))


@pytest.mark.parametrize(
    "cnf",
    [
        "x", {}, {"jkt": "x"}, {"x5rt#S256": 7}, {"x5rt#S256": "=="}, {"x5rt#S256": b64u_encode(b"short")},
        {"x5rt#S256": b64u_encode(bytes(32)), "jkt": "x"},
    ],
)  # fmt: skip
def test_a_binding_that_cannot_be_checked_is_refused__t17(cnf: Any) -> None:
    """A binding is never ignored."""
    refused(token(cnf=cnf))


def test_deep_claims_are_refused() -> None:
    """Depth is bounded before anything is done with it."""
    deep: Any = "x"
    for _ in range(20):
        deep = {"a": deep}
    refused(token(user=deep))


# --- renewal tokens ---------------------------------------------------------------------------------------------------


def renewal(**claims: Any) -> str:
    """A renewal token as a stock client makes it, with these claims changed."""
    plain = {**PLAIN, "iss": "step-ca-client/1.0", "aud": f"{BASE}/renew", "jti": ..., "sans": ...}
    document = {name: value for name, value in {**plain, **claims}.items() if value is not ...}
    chain = [base64.b64encode(one).decode() for one in (b"leaf", b"issuer")]
    header = {"kid": "generated", "typ": "JWT", "x5cInsecure": chain}
    return sign_compact(msgspec.json.encode(document), key=KEY, alg=KeyAlgorithm.ES256, header=header)


def judge_renewal(text: str, subject: str = NAME) -> VerifiedClaims:
    """The claims, for the certificate of this subject."""
    return verify_renewal(parse_renewal_token(text), key=PUBLIC, subject=subject, audiences=RENEW, now=NOW)


def test_a_renewal_token_is_judged_as_it_was_made__step_5() -> None:
    """Ours with a jti, a stock client's without: once each."""
    text = sign_renewal_token(NAME, (b"leaf", b"issuer"), key=KEY, base_url=BASE, now=NOW, jti=make_jti(bytes(32)))
    assert parse_renewal_token(text).unverified_chain == (b"leaf", b"issuer")
    assert judge_renewal(text).subject == NAME
    assert judge_renewal(renewal()).reuse_key == judge_renewal(renewal()).reuse_key
    assert judge_renewal(renewal()).reuse_key != judge_renewal(text).reuse_key


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "platform-team"},
        {"aud": f"{BASE}/1.0/sign"},
        {"sub": "b.internal.example"},
        {"exp": UNIX - 60},
        {"sub": ""},
    ],
)
def test_a_renewal_token_that_does_not_hold__n14(claims: dict[str, Any]) -> None:
    """Another issuer, endpoint or subject; expired."""
    with pytest.raises(Unauthorized) as caught:
        judge_renewal(renewal(**claims))
    assert caught.value.http_status == 401


def test_a_renewal_token_signed_by_another_key__n14() -> None:
    """The leaf's key alone."""
    key = public_key_of(ec_key().public_key())
    with pytest.raises(Unauthorized):
        verify_renewal(parse_renewal_token(renewal()), key=key, subject=NAME, audiences=RENEW, now=NOW)


@pytest.mark.parametrize("chain", [None, [], "x", [7], ["=x"], ["é"], [base64.b64encode(b"x").decode()] * 6])
def test_a_renewal_token_without_a_readable_chain__n14(chain: Any) -> None:
    """None, empty, no list, no base64, too long."""
    text = sign_compact(msgspec.json.encode(PLAIN), key=KEY, alg=KeyAlgorithm.ES256, header={"x5cInsecure": chain})
    with pytest.raises(Unauthorized):
        parse_renewal_token(text)


def test_the_token_and_its_chain_stay_out_of_repr() -> None:
    """What is printed holds neither claims nor signature."""
    shown = repr(parse_token(token()))
    assert NAME not in shown
    assert "signature" not in shown
