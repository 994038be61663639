"""Every way that we know of a token to be wrong (step-compat.md part 13): one list for each endpoint that takes one."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from dayfly.core.jose.encoding import b64u_encode
from dayfly.core.jose.jwk import render_jwk
from factories import ec_key

Signer = Callable[[bytes], bytes]


@dataclass(frozen=True)
class GoodToken:
    """What makes a good token for one endpoint, of which a fault changes one thing; `other` are foreign values."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    key: ec.EllipticCurvePrivateKey
    other: Mapping[str, Any]

    def text(self, header: Mapping[str, Any] | None = None, claims: Mapping[str, Any] | None = None) -> str:
        """The token with members changed; `...` leaves one out."""
        return self.raw(_changed(self.header, header), msgspec.json.encode(_changed(self.claims, claims)))

    def raw(self, header: Mapping[str, Any], payload: bytes, signer: Signer | None = None) -> str:
        """The token of any header and payload, signed by the good key or by `signer`."""
        signing_input = f"{b64u_encode(msgspec.json.encode(header))}.{b64u_encode(payload)}"
        signature = (signer or self.sign)(signing_input.encode())
        return f"{signing_input}.{b64u_encode(signature)}"

    def sign(self, data: bytes, key: ec.EllipticCurvePrivateKey | None = None) -> bytes:
        """An ES256 signature."""
        r, s = decode_dss_signature((key or self.key).sign(data, ec.ECDSA(SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def _changed(members: Mapping[str, Any], changes: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in {**members, **(changes or {})}.items() if value is not ...}


def faults(good: GoodToken) -> Iterator[tuple[str, str]]:
    """The name of each fault, and a token that has it and no other."""
    yield "not a JWS", "token"
    yield "two parts", "e30.e30"
    yield "JWE", "e30.e30.e30.e30.e30"
    yield "nested", good.text({"cty": "JWT"})
    yield "compressed", good.text({"zip": "DEF"})
    yield from _algorithm_faults(good)
    yield from _signature_faults(good)
    yield from _header_faults(good)
    yield from _claim_faults(good)


def _algorithm_faults(good: GoodToken) -> Iterator[tuple[str, str]]:
    payload = msgspec.json.encode(good.claims)
    public = good.key.public_key()
    for name in ("none", "None", "NONE", ""):
        yield f"alg {name!r}", good.raw({**good.header, "alg": name}, payload, lambda _: b"")
    secrets = {
        "PEM": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "DER": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "JWK": msgspec.json.encode(render_jwk(public)),
    }
    for name, secret in secrets.items():
        signer = lambda data, secret=secret: hmac.new(secret, data, hashlib.sha256).digest()  # noqa: E731 - one line each
        yield f"HS256 keyed with the public key as {name}", good.raw({**good.header, "alg": "HS256"}, payload, signer)
    for name in ("RS256", "ES384", "ES512", "PS256", "EdDSA", "ES256K", "es256"):
        yield f"wrong algorithm {name}", good.raw({**good.header, "alg": name}, payload)
    yield "alg missing", good.raw({name: value for name, value in good.header.items() if name != "alg"}, payload)
    yield "alg a list", good.raw({**good.header, "alg": ["ES256"]}, payload)


def _signature_faults(good: GoodToken) -> Iterator[tuple[str, str]]:
    payload = msgspec.json.encode(good.claims)
    stranger = ec_key()

    def der(data: bytes) -> bytes:
        raw = good.sign(data)
        return encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))

    yield "DER signature", good.raw(good.header, payload, der)
    yield "short signature", good.raw(good.header, payload, lambda data: good.sign(data)[:-1])
    yield "long signature", good.raw(good.header, payload, lambda data: good.sign(data) + b"\0")
    yield "no signature", good.raw(good.header, payload, lambda _: b"")
    yield "zero signature", good.raw(good.header, payload, lambda _: bytes(64))
    yield "signed by a stranger", good.raw(good.header, payload, lambda data: good.sign(data, stranger))
    yield "signed by another", good.raw(good.header, payload, lambda data: good.sign(data, good.other["key"]))
    yield "padded base64", good.text() + "="
    parts = good.text().split(".")
    yield "another payload", ".".join((parts[0], b64u_encode(payload.replace(b"}", b',"more":1}', 1)), parts[2]))


def _header_faults(good: GoodToken) -> Iterator[tuple[str, str]]:
    stranger = ec_key()
    embedded = {
        "jwk": render_jwk(stranger.public_key()),
        "x5c": [base64.b64encode(b"certificate").decode()],
        "jku": "https://evil.example/keys",
        "x5u": "https://evil.example/chain",
    }
    payload = msgspec.json.encode(good.claims)
    for name, value in embedded.items():
        header = {**good.header, "kid": "unknown", name: value}
        yield f"unknown kid with {name}", good.raw(header, payload, lambda data: good.sign(data, stranger))
        yield f"known kid with {name}", good.text({name: value})
    yield "crit", good.text({"crit": ["exp"]})
    yield "b64", good.text({"b64": False})
    yield "odd typ", good.text({"typ": "at+jwt"})
    yield "kid no string", good.text({"kid": 7})
    yield "kid unknown", good.text({"kid": "unknown"})
    yield "kid of another", good.text({"kid": good.other["kid"]})
    yield "kid missing", good.text({"kid": ...})


def _claim_faults(good: GoodToken) -> Iterator[tuple[str, str]]:
    issuer, audience, now = good.claims["iss"], good.claims["aud"], good.claims["iat"]
    base, _, path = audience.partition("//")[2].partition("/")
    host, _, port = base.partition(":")
    changes: dict[str, dict[str, Any]] = {
        "iss missing": {"iss": ...}, "iss of another": {"iss": good.other["iss"]}, "iss case": {"iss": issuer.upper()},
        "iss prefix": {"iss": issuer[:-1]}, "iss longer": {"iss": issuer + "x"}, "iss list": {"iss": [issuer]},
        "iss null": {"iss": None}, "aud missing": {"aud": ...}, "aud null": {"aud": None},
        "aud another endpoint": {"aud": good.other["aud"]}, "aud path": {"aud": f"https://{base}/{path}x"},
        "aud deeper path": {"aud": audience + "/evil"}, "aud host": {"aud": f"https://evil.example:{port}/{path}"},
        "aud port": {"aud": f"https://{host}:1/{path}"}, "aud no port": {"aud": f"https://{host}/{path}"},
        "aud scheme": {"aud": f"http://{base}/{path}"}, "aud fragment": {"aud": f"{audience}#x5c/admin"},
        "aud literal": {"aud": "step-certificate-authority"}, "aud list": {"aud": [audience, "https://evil.example"]},
        "aud case": {"aud": audience.upper()}, "aud ssh": {"aud": f"https://{base}/1.0/ssh/sign"},
        "exp missing": {"exp": ...}, "exp past": {"exp": now - 61}, "exp far": {"exp": now + 3601},
        "exp text": {"exp": str(now + 300)}, "exp 1e30": {"exp": 1e30}, "exp true": {"exp": True},
        "exp negative": {"exp": -1}, "nbf to come": {"nbf": now + 61}, "iat to come": {"iat": now + 61},
        "nbf text": {"nbf": "now"}, "sub missing": {"sub": ...}, "sub empty": {"sub": ""}, "sub list": {"sub": ["a"]},
        "jti empty": {"jti": ""}, "jti list": {"jti": ["a"]},
    }  # fmt: skip
    for name, change in changes.items():
        yield name, good.text(claims=change)
    doubled = msgspec.json.encode(good.claims)[:-1] + b',"sub":"api.internal.example"}'
    yield "duplicate claims", good.raw(good.header, doubled)
    yield "claims no object", good.raw(good.header, b"[]")
    yield "claims no JSON", good.raw(good.header, b"{")
