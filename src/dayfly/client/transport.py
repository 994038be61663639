"""HTTPS to one CA: pinned roots only, bounded answers, no redirects, one connection kept.

Rules: the system's trust store is never used; proxies and environment are not read; an answer is whole or an error;
what a server says is cut and made printable before anybody sees it; an error names the CA, what happened and what to
do.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from dayfly import __version__
from dayfly.errors import ClientError

MAX_ANSWER = 1024 * 1024
MAX_TEXT = 300
MAX_REASON = 2000  # of a refusal, which may speak of several names
TIMEOUT = 30.0  # seconds, for each wait on the network
_NOT_TAKEN = "if a certificate was shown, the CA may not take it: is it of this CA, and not expired?"
USER_AGENT = f"dayfly/{__version__}"

_URL = re.compile(r"https://(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::(?P<port>[0-9]{1,5}))?(?P<path>/[!-~]*)?")


def printable(text: str, *, most: int = MAX_TEXT) -> str:
    """A server's text on one line, without control characters, cut after `most` characters."""
    return "".join(one if one.isprintable() else " " for one in text[:most]).strip()


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a CA is: host and port of an https URL."""

    host: str
    port: int

    def __str__(self) -> str:
        """`host:port`, an IPv6 host in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_url(url: str) -> tuple[Origin, str]:
    """Origin and path of an https URL without user or fragment; ClientError."""
    match = _URL.fullmatch(url) if len(url) <= 2000 else None
    if match is None or "#" in url:
        raise ClientError(
            f"{printable(url)!r} is no plain https URL", hint="write it as https://ca.internal.example:9000"
        )
    port = int(match["port"] or 443)
    if not 1 <= port <= 65535:
        raise ClientError(f"{printable(url)!r} has no possible port")
    return Origin(match["host"].strip("[]").lower(), port), match["path"] or "/"


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer: the status, headers by lower-case name, the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def retry_after(self) -> float | None:
        """Seconds of Retry-After, where it is a plain number."""
        text = self.headers.get("retry-after", "")
        return float(text) if re.fullmatch(r"[0-9]{1,6}", text) else None


@dataclass(frozen=True, slots=True)
class ClientPair:
    """A certificate chain and its key, in files, to show to the CA; the key may be encrypted."""

    chain: Path
    key: Path
    password: bytes | None = field(default=None, repr=False)


def present(context: ssl.SSLContext, pair: ClientPair) -> None:
    """Show this pair to a server that asks for one; ClientError where the files do not give a pair."""
    try:
        context.load_cert_chain(pair.chain, pair.key, password=pair.password or b"")
    except (OSError, ssl.SSLError) as error:
        why = "they do not belong together" if "MISMATCH" in str(error) else error.strerror or "they cannot be read"
        raise ClientError(f"{pair.chain} and {pair.key} cannot be shown to the CA: {why}") from None


def trusting_text(pem: str) -> ssl.SSLContext:
    """A client context that trusts the certificates in this text, and nothing else; ClientError."""
    context = _context()
    try:
        context.load_verify_locations(cadata=pem)
    except (ssl.SSLError, ValueError):
        raise ClientError("what should be the root certificate cannot be read") from None
    return context


def trusting(root: Path) -> ssl.SSLContext:
    """A client context that trusts the certificates in one file, and nothing else; ClientError."""
    context = _context()
    try:
        context.load_verify_locations(cafile=str(root))
    except FileNotFoundError:
        hint = "fetch it: dayfly ca root root_ca.crt --ca-url URL --fingerprint SHA256"
        raise ClientError(f"the root certificate {root} is missing", hint=hint) from None
    except (OSError, ssl.SSLError) as error:
        raise ClientError(f"the root certificate {root} cannot be read: {error.strerror or error}") from None
    return context


def trusting_nobody() -> ssl.SSLContext:
    """A client context without verification: for fetching a root whose fingerprint is compared, and nothing else."""
    context = _context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class Transport:
    """Requests to one origin over one kept connection; for one thread at a time."""

    def __init__(
        self, url: str, context: ssl.SSLContext, *, timeout: float = TIMEOUT, shows_pair: bool = False
    ) -> None:
        """`url` names the origin, its path does not matter; `shows_pair` only makes errors say so. ClientError."""
        self.origin, _ = parse_url(url)
        self._context = context
        self._timeout = timeout
        self._shows_pair = shows_pair
        self._connection: http.client.HTTPSConnection | None = None

    def __enter__(self) -> Self:
        """Nothing is connected yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def request(
        self, method: str, url: str, body: bytes | None = None, *, media_type: str = "", bearer: str = ""
    ) -> Answer:
        """One request to a URL of this origin; a kept connection that was closed is opened anew. ClientError.

        `bearer` is a token for the Authorization header (RFC 6750 2.1).
        """
        origin, path = parse_url(url)
        if origin != self.origin:
            raise ClientError(f"the CA named a URL of another place, {origin}; only {self.origin} is asked")
        headers = {"User-Agent": USER_AGENT, "Connection": "keep-alive"}
        if media_type:
            headers["Content-Type"] = media_type
        if bearer:
            headers["Authorization"] = f"Bearer {bearer}"
        kept = self._connection is not None
        try:
            return self._once(method, path, body, headers)
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError) as error:
            self.close()
            if not kept:
                raise self._told(error) from None
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise self._told(error) from None
        try:
            return self._once(method, path, body, headers)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise self._told(error) from None

    def _once(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        if self._connection is None:
            self._connection = http.client.HTTPSConnection(
                self.origin.host, self.origin.port, context=self._context, timeout=self._timeout
            )
        self._connection.request(method, path, body, dict(headers))
        answer = self._connection.getresponse()
        content = answer.read(MAX_ANSWER + 1)
        if len(content) > MAX_ANSWER:
            self.close()
            raise ClientError(f"the CA at {self.origin} sent more than {MAX_ANSWER} octets")
        if answer.length:  # a read with a limit says nothing of an answer that was cut off: half a chain is none
            raise http.client.IncompleteRead(content, answer.length)
        found = {name.lower(): value for name, value in answer.getheaders()}
        if answer.will_close:
            self.close()
        return Answer(answer.status, found, content)

    def _told(self, error: Exception) -> ClientError:
        """What happened, in words, and what to do."""
        where = f"the CA at {self.origin}"
        if isinstance(error, ssl.SSLCertVerificationError):
            return ClientError(
                f"{where} is not trusted: {error.verify_message}",
                hint="is the root certificate the right one? `dayfly ca root` fetches it by its fingerprint",
            )
        if isinstance(error, ssl.SSLError) and "ALERT" in (error.reason or ""):
            why = printable(str(error.reason)).replace("_", " ").lower()
            return ClientError(f"{where} ended the TLS handshake: {why}", hint=_NOT_TAKEN)
        if isinstance(error, http.client.IncompleteRead):
            return ClientError(f"{where} went away in the middle of its answer", hint="is it running? try again")
        if self._shows_pair and isinstance(error, ConnectionResetError | BrokenPipeError):
            return ClientError(f"{where} closed the connection on which a certificate was shown", hint=_NOT_TAKEN)
        if isinstance(error, TimeoutError):
            return ClientError(
                f"{where} did not answer within {self._timeout:.0f} s", hint="is it running, and reachable?"
            )
        if isinstance(error, ConnectionRefusedError):
            return ClientError(
                f"{where} did not answer: connection refused", hint="is it running? start it: dayfly ca start"
            )
        if isinstance(error, socket.gaierror):
            return ClientError(
                f"{where} was not found: {error.strerror}", hint="check the name, or name it with --ca-url"
            )
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return ClientError(f"{where} could not be asked: {printable(str(why))}", hint="is it running, and reachable?")
