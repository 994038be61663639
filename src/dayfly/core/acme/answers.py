"""The JSON of the server as a client reads it (RFC 8555).

Rules: a client reads what it needs and ignores the rest; an answer that is not of its shape is a `ClientError`.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from dayfly.core.acme.objects import (
    ChallengeStatus,
)
from dayfly.core.acme.payloads import WireIdentifier
from dayfly.core.problems import URN
from dayfly.errors import ClientError

# --- what the client reads -------------------------------------------------------------------------------------------


class WireProblem(msgspec.Struct, frozen=True, kw_only=True):
    """A problem document as a client meets it (RFC 9457; `rule` to `denial` are ours)."""

    type: str = "about:blank"
    detail: str = ""
    status: int = 0
    rule: str = ""
    owner: str = ""
    nearest: str = ""
    denial: str = ""
    subproblems: tuple[WireProblem, ...] | None = None
    identifier: WireIdentifier | None = None

    @property
    def kind(self) -> str:
        """The type without the ACME prefix, as `rejectedIdentifier`."""
        return self.type.removeprefix(URN)


class WireDirectory(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """What a client needs of a directory."""

    new_nonce: str
    new_account: str
    new_order: str
    renewal_info: str | None = None
    meta: dict[str, Any] | None = None


class WireChallenge(msgspec.Struct, frozen=True, kw_only=True):
    """A challenge as a client reads it."""

    type: str
    url: str
    status: ChallengeStatus
    token: str = ""
    error: WireProblem | None = None


class WireAuthorization(msgspec.Struct, frozen=True, kw_only=True):
    """An authorization as a client reads it."""

    identifier: WireIdentifier
    status: str
    challenges: tuple[WireChallenge, ...]
    wildcard: bool = False


class WireOrder(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """An order as a client reads it."""

    status: str
    identifiers: tuple[WireIdentifier, ...]
    authorizations: tuple[str, ...]
    finalize: str
    certificate: str | None = None
    error: WireProblem | None = None


class WireAccount(msgspec.Struct, frozen=True, kw_only=True):
    """An account as a client reads it."""

    status: str


Answer = TypeVar("Answer", bound=msgspec.Struct)


def parse_answer(body: bytes, shape: type[Answer]) -> Answer:
    """A server's answer as `shape`; ClientError where it is not one."""
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ClientError(f"the CA's answer is not a {shape.__name__.removeprefix('Wire').lower()}: {error}") from None
