"""The gate of every ACME request: envelope, URL, account, signature, nonce, in this order (RFC 8555 6.2 to 6.5).

Rules: nothing behind the gate sees an unverified payload; a request whose signature fails leaves its nonce unspent,
one that passes spends it even if it is refused later; a source with too many bad signatures is told to wait before any
more is verified; `url` and `kid` are compared as strings with URLs built from
the configuration, never with the Host header.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import lru_cache
from ipaddress import ip_address

import msgspec

from dayfly.authority.context import Authority, Source
from dayfly.core.acme.accounts import check_usable
from dayfly.core.acme.clients import clean_user_agent
from dayfly.core.acme.objects import Account
from dayfly.core.acme.urls import Urls
from dayfly.core.ids import parse_id
from dayfly.core.jose.jwk import PublicKey, parse_jwk
from dayfly.core.jose.jws import UnverifiedJWS, parse_flattened, verify
from dayfly.core.policy.keys import ACCOUNT_KEYS, check_key
from dayfly.core.problems import (
    AccountDoesNotExist,
    BadNonce,
    Malformed,
    PayloadTooLarge,
    Refused,
    Unauthorized,
    UnsupportedMediaType,
)
from dayfly.errors import NotFound
from dayfly.server.app import Request
from dayfly.server.source_limits import check_credentials, count_bad_credential

JOSE = b"application/jose+json"
MAX_BODY = 64 * 1024
CACHED_KEYS = 10_000


class Signed(msgspec.Struct, frozen=True):
    """A request that passed the gate with an account; `url` and `kid` as they stand in its protected header."""

    account: Account
    key: PublicKey
    payload: bytes
    urls: Urls
    source: Source | None
    url: str
    kid: str

    @property
    def is_read(self) -> bool:
        """Is it a POST-as-GET (RFC 8555 6.3)?"""
        return not self.payload


class SignedByKey(msgspec.Struct, frozen=True):
    """A request that passed the gate with a key in its header, as newAccount asks for (RFC 8555 7.3)."""

    key: PublicKey
    payload: bytes
    urls: Urls
    source: Source | None
    url: str


class Bases:
    """The configured base URLs: requests are answered under the one that the client asked for, if it is configured."""

    def __init__(self, base_urls: tuple[str, ...]) -> None:
        """The first of the base URLs is the canonical one."""
        self._first = base_urls[0]
        self._by_host = {base.removeprefix("https://").encode(): base for base in base_urls}
        self._all = frozenset(base_urls)

    def urls(self, request: Request, provisioner: str) -> Urls:
        """The URLs of a provisioner as this request shall see them."""
        return _urls(self._by_host.get(request.fields.get(b"host", b""), self._first), provisioner)

    def has(self, url: str, path: str) -> bool:
        """Is it the URL of this path, under any of the base URLs?"""
        return url.endswith(path) and url[: -len(path)] in self._all

    def parse_kid(self, kid: str, provisioner: str) -> int | None:
        """The account's id in a `kid`, None where it is not the URL of an account of this provisioner.

        An id has one spelling only, so what stands before it decides.
        """
        before, _, text = kid.rpartition("/")
        return parse_id(text) if self.has(before, f"/acme/{provisioner}/account") else None


class Gate:
    """Authenticates ACME requests for one CA; keeps parsed account keys and `kid`s, at most 10,000 each."""

    def __init__(self, authority: Authority, bases: Bases) -> None:
        """Nothing is cached yet."""
        self._authority = authority
        self._bases = bases
        self._keys: OrderedDict[int, tuple[bytes, PublicKey]] = OrderedDict()
        self._kids: dict[tuple[str, str], int] = {}

    async def with_account(self, request: Request) -> Signed:
        """A request signed by an account's key (`kid`).

        1. The envelope is read, and `url` compared.
        2. The account is found by the id in `kid`.
        3. The signature is checked with the account's key, then the account's status.
        4. The nonce is spent.
        """
        return await self._with_account(request, *self._open(request))

    async def with_key(self, request: Request) -> SignedByKey:
        """A request signed by the key in its header (`jwk`)."""
        return await self._with_key(request, *self._open(request))

    async def with_account_or_key(self, request: Request) -> Signed | SignedByKey:
        """Either of them, as revokeCert takes it (RFC 8555 7.6)."""
        jws, urls = self._open(request)
        if jws.header.jwk is None:
            return await self._with_account(request, jws, urls)
        return await self._with_key(request, jws, urls)

    async def _with_account(self, request: Request, jws: UnverifiedJWS, urls: Urls) -> Signed:
        if jws.header.kid is None:
            raise Malformed("this resource takes a request signed by an account: `kid`, not `jwk` (RFC 8555 6.2)")
        account = await self._account(request, jws.header.kid)
        key, source = self._key(account), source_of(request)
        self._verify(jws, key, source)
        check_usable(account)
        await self._authority.nonces.spend(_nonce(jws))
        return Signed(account, key, jws.payload, urls, source, jws.header.url, jws.header.kid)

    async def _with_key(self, request: Request, jws: UnverifiedJWS, urls: Urls) -> SignedByKey:
        if jws.header.jwk is None:
            raise Malformed("this resource takes a request with the key in it: `jwk`, not `kid` (RFC 8555 6.2)")
        check_key(jws.header.jwk.key, allow=ACCOUNT_KEYS)  # first, since a key that is refused may be a costly one
        source = source_of(request)
        self._verify(jws, jws.header.jwk, source)
        await self._authority.nonces.spend(_nonce(jws))
        return SignedByKey(jws.header.jwk, jws.payload, urls, source, jws.header.url)

    def _verify(self, jws: UnverifiedJWS, key: PublicKey, source: Source | None) -> None:
        """Refused where the signature is not good, which is counted; RateLimited where too many were not."""
        check_credentials(self._authority, source)
        try:
            verify(jws.signing_input, jws.signature, key=key, alg=jws.header.alg)
        except Refused:
            count_bad_credential(self._authority, source)
            raise

    def _open(self, request: Request) -> tuple[UnverifiedJWS, Urls]:
        if request.fields.get(b"content-type") != JOSE:
            raise UnsupportedMediaType("the Content-Type must be application/jose+json (RFC 8555 6.2)")
        if len(request.body) > MAX_BODY:
            raise PayloadTooLarge(f"the body is larger than {MAX_BODY} octets")
        jws = parse_flattened(request.body)
        if not self._bases.has(jws.header.url, request.path):
            raise Unauthorized("`url` in the protected header is not the URL of this resource (RFC 8555 6.4)")
        return jws, self._bases.urls(request, request.params["provisioner"])

    async def _account(self, request: Request, kid: str) -> Account:
        provisioner = request.params["provisioner"]
        known = self._kids.get((provisioner, kid))
        account_id = known or self._bases.parse_kid(kid, provisioner)
        if account_id is None:
            raise AccountDoesNotExist("`kid` is not the URL of an account of this provisioner")
        try:
            account = await self._authority.store.accounts.account(account_id)
        except NotFound:
            raise AccountDoesNotExist("there is no such account") from None
        if account.provisioner != provisioner:
            raise AccountDoesNotExist("there is no such account")
        if known is None:
            self._keep_kid(provisioner, kid, account_id)
        return account

    def _keep_kid(self, provisioner: str, kid: str, account_id: int) -> None:
        """Only those of accounts that there are, so that nobody fills memory with long ones."""
        if len(self._kids) >= CACHED_KEYS:
            self._kids.clear()
        self._kids[provisioner, kid] = account_id

    def _key(self, account: Account) -> PublicKey:
        """The account's parsed key; a rolled-over one differs in its bytes and is parsed anew."""
        cached = self._keys.get(account.id)
        if cached is not None and cached[0] == account.jwk:
            return cached[1]
        key = parse_jwk(msgspec.json.decode(account.jwk))
        self._keys[account.id] = (account.jwk, key)
        if len(self._keys) > CACHED_KEYS:
            self._keys.popitem(last=False)
        return key


def _nonce(jws: UnverifiedJWS) -> str:
    """The nonce; BadNonce where there is none."""
    if jws.header.nonce is None:
        raise BadNonce("the request has no nonce")
    return jws.header.nonce


def source_of(request: Request) -> Source | None:
    """The address that the request came from, None where the transport has none."""
    try:
        return _address(request.peer[0])
    except (ValueError, TypeError):
        return None


def user_agent_of(request: Request) -> str:
    """What the client calls itself, fit to be kept and shown; "" where it says nothing."""
    return clean_user_agent(request.fields.get(b"user-agent", b""))


@lru_cache(maxsize=1024)
def _address(text: str) -> Source:
    return ip_address(text)


@lru_cache(maxsize=256)
def _urls(base: str, provisioner: str) -> Urls:
    return Urls(f"{base}/acme/{provisioner}")
