"""Settings documents as they are stored: provisioners, rules, owners and reissues, one row each.

Rules: a document is canonical JSON; an unknown member is refused, and a missing one has its default, so that newer code
reads older rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from dayfly.core.jose.encoding import EncodingError, strict_json_object
from dayfly.core.policy.rules import Rule
from dayfly.core.settings.owners import Owner
from dayfly.core.settings.provisioners import Provisioner
from dayfly.core.settings.reissues import Reissue
from dayfly.errors import ConfigError

MAX_OCTETS = 65_536  # of one document

Document = Provisioner | Rule | Owner | Reissue

_KINDS: Mapping[str, type[Document]] = {"provisioner": Provisioner, "rule": Rule, "owner": Owner, "reissue": Reissue}

_encode: Callable[[object], bytes] = msgspec.json.Encoder(order="deterministic").encode


def document_kind(document: Document) -> str:
    """The kind under which a document is stored."""
    return type(document).__name__.lower()


def document_name(document: Document) -> str:
    """The name of a document within its kind."""
    return document.id if isinstance(document, Rule | Reissue) else document.name


def render_document(document: Document) -> bytes:
    """The canonical JSON of a document."""
    return _encode(document)


def parse_document(kind: str, body: bytes) -> Document:
    """The document in a stored row; ConfigError where it is none, or says what we do not know."""
    if kind not in _KINDS:
        raise ConfigError("", f"the database holds a settings document of the unknown kind {kind!r}")
    if len(body) > MAX_OCTETS:
        raise ConfigError(
            "", f"a settings document of kind {kind} has {len(body)} octets; at most {MAX_OCTETS} are read"
        )
    try:
        members = strict_json_object(body)
        document = msgspec.convert(members, _KINDS[kind])
    except (EncodingError, msgspec.ValidationError) as error:
        raise ConfigError("", f"a settings document of kind {kind} cannot be read: {error}") from None
    _check_members(kind, members, strict_json_object(render_document(document)))
    return document


def _check_members(where: str, found: Mapping[str, object], known: Mapping[str, object]) -> None:
    """Raise ConfigError for a member that is none of ours: it would be lost at the next change."""
    for member, value in found.items():
        if member not in known:
            raise ConfigError("", f"a settings document holds {where}.{member[:80]!r}, which this Dayfly does not know")
        ours = known[member]
        if isinstance(value, dict) and isinstance(ours, dict):
            _check_members(f"{where}.{member}", value, ours)
