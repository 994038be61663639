"""The only renderer of refusals: as a problem document for ACME, as `{"status", "message"}` for the step API.

Rules: what goes out is the text that the refusal carries, and never its hint, its cause or a traceback; a refusal by
policy names the rule, its owner, the nearest allowed thing and the denial's id (acme.md 14); 429, 500 and 503 always
carry Retry-After, in whole seconds.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from dayfly.core.problems import (
    URN,
    BadSignatureAlgorithm,
    Denial,
    KeyInUse,
    MethodNotAllowed,
    Refused,
    ServerInternal,
    ServiceUnavailable,
    Subproblem,
    UserActionRequired,
)
from dayfly.core.step.answers import DeniedName, ErrorBody, render_error
from dayfly.errors import Conflict, SignerError, Unavailable
from dayfly.server.exchange import JSON, PROBLEM_JSON, Dialect, Header, Response

RETRY_AFTER = 5
"""Seconds, where a refusal that needs a Retry-After does not say."""

MAX_IDS = 5  # of denials in one sentence
MAX_SENTENCES = 5  # of single names in the text of a step error; its members tell all

_WAITING = frozenset({429, 500, 503})
_OPENINGS = {
    400: "The request could not be completed: ",
    403: "The request was forbidden by the certificate authority: ",
}
_encode = msgspec.json.encode


def as_refused(error: Exception) -> Refused:
    """What a client may know of any error: a refusal as it is, 503 when store or signer are away, 500 for the rest.

    A conflict that reaches this place was lost again and again, or where nobody tries again: the client may.
    """
    if isinstance(error, Refused):
        return error
    if isinstance(error, Unavailable | SignerError):
        return ServiceUnavailable("The certificate authority cannot do this for the moment; try again.")
    if isinstance(error, Conflict):
        return ServiceUnavailable("What was asked for is being changed by others; try again.", retry_after=1)
    return ServerInternal("The certificate authority met an error of its own; its log has the details.")


def render_refused(refused: Refused, dialect: Dialect, *, request_id: str) -> Response:
    """The refusal in the dialect of its route."""
    render = render_problem if dialect is Dialect.ACME else render_step_error
    return render(refused, request_id=request_id)


def render_problem(refused: Refused, *, request_id: str) -> Response:
    """A problem document (RFC 8555 6.7, RFC 9457).

    An error of ours carries the request id in its text, and a denial its id, because clients print the text and
    nothing else.
    """
    detail = f"{refused.detail} (request {request_id})" if refused.http_status >= 500 else refused.detail
    problem: dict[str, object] = {
        "type": URN + refused.type,
        "detail": _with_ids(detail, (refused.denial, *(one.denial for one in refused.subproblems))),
        "status": refused.http_status,
        **_denial_members(refused.denial),
    }
    if refused.subproblems:
        problem["subproblems"] = [_subproblem(subproblem) for subproblem in refused.subproblems]
    if isinstance(refused, BadSignatureAlgorithm):
        problem["algorithms"] = refused.algorithms
    if isinstance(refused, UserActionRequired):
        problem["instance"] = refused.terms  # where a person has to go (RFC 8555 7.3.3)
    return _response(refused, _encode(problem), PROBLEM_JSON)


def render_step_error(refused: Refused, *, request_id: str) -> Response:
    """The error body of the step API, with step-ca's openings and our reasons (step-compat.md 1 and 12).

    The members beside the text are those of the first name that was denied; `denials` has them for each.
    """
    others = [one for one in refused.subproblems if one.detail != refused.detail]
    more = [f"and {len(others) - MAX_SENTENCES} more"] if len(others) > MAX_SENTENCES else []
    parts = [*_opened(refused, others), *map(_sentence, others[:MAX_SENTENCES]), *more]
    notes = "; ".join([*_denial_notes(refused.denial, refused.detail), f"request {request_id}"])
    message = f"{_OPENINGS.get(refused.http_status, '')}{'; '.join(parts)} ({notes})."
    denied = tuple(DeniedName(_name(one), *_members(one.denial)) for one in refused.subproblems if one.denial)
    denial = refused.denial or next((one.denial for one in refused.subproblems if one.denial), None) or Denial("")
    body = ErrorBody(refused.http_status, message, *_members(denial), denials=denied)
    return _response(refused, render_error(body), JSON)


def _response(refused: Refused, body: bytes, media_type: bytes) -> Response:
    headers: list[Header] = []
    retry_after = refused.retry_after
    if retry_after is None and refused.http_status in _WAITING:
        retry_after = RETRY_AFTER
    if retry_after is not None:
        headers.append((b"retry-after", b"%d" % max(retry_after, 0)))
    if isinstance(refused, MethodNotAllowed):
        headers.append((b"allow", ", ".join(refused.allow).encode("ascii")))
    if isinstance(refused, KeyInUse):
        headers.append((b"location", refused.location.encode("ascii")))
    if isinstance(refused, UserActionRequired):
        headers.append((b"link", f'<{refused.terms}>;rel="terms-of-service"'.encode("ascii")))
    return Response(refused.http_status, body, tuple(headers), media_type, refused.reason or refused.type)


def _subproblem(subproblem: Subproblem) -> dict[str, object]:
    detail = _with_ids(subproblem.detail, (subproblem.denial,))
    members: dict[str, object] = {"type": URN + subproblem.type, "detail": detail}
    if subproblem.identifier is not None:
        members["identifier"] = {"type": subproblem.identifier.type, "value": subproblem.identifier.value}
    return members | _denial_members(subproblem.denial)


def _with_ids(detail: str, denials: Sequence[Denial | None]) -> str:
    """The text, and the ids of the denials in it."""
    ids = list(dict.fromkeys(one.id for one in denials if one is not None and one.id))
    more = ", ..." if len(ids) > MAX_IDS else ""
    return f"{detail} (denial {', '.join(ids[:MAX_IDS])}{more})" if ids else detail


def _denial_members(denial: Denial | None) -> dict[str, str]:
    """All four wherever a rule decided, so that a program need not ask which are there (interfaces.md 6)."""
    if denial is None:
        return {}
    return dict(zip(("rule", "owner", "nearest", "denial"), _members(denial), strict=True))


def _members(denial: Denial) -> tuple[str, str, str, str]:
    return denial.rule, denial.owner, denial.nearest, denial.id


def _denial_notes(denial: Denial | None, text: str) -> list[str]:
    """What the text does not say already."""
    words = {"rule": "rule", "owner": "owner", "nearest": "would pass", "denial": "denial"}
    found = _denial_members(denial).items()
    return [f"{words[name]}: {value}" for name, value in found if value and value not in text]


def _opened(refused: Refused, others: Sequence[Subproblem]) -> list[str]:
    """The refusal's own sentence; for several denied names their number alone, since each has a sentence."""
    return [refused.detail.rstrip(".")] if refused.denial or not others else [refused.detail.partition(": ")[0]]


def _name(subproblem: Subproblem) -> str:
    return subproblem.identifier.value if subproblem.identifier else ""


def _sentence(subproblem: Subproblem) -> str:
    name, detail = _name(subproblem), subproblem.detail.rstrip(".")
    told = detail if not name or detail.startswith(name) else f"{name}: {detail}"
    notes = "; ".join(_denial_notes(subproblem.denial, told))
    return told + (f" ({notes})" if notes else "")
