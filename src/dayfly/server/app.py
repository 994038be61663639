"""The ASGI application: one routing table, one place where errors become answers.

Rules: a path that is not canonical is not found, so no two spellings reach one handler; the handler decides, and
nothing here holds a rule about certificates; every answer carries X-Request-Id, and what is not a refusal is logged
with its stack and told to the client without any (security.md 15, L2); a store or signer that is away is no surprise,
and takes one line that says why and what next.

Look-up: an exact path is one dict look-up. For patterns with parameters there is one table per shape (how many
segments, which of them are literal), keyed by the literal segments; a path costs one look-up per shape of its length.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dayfly.core.problems import MethodNotAllowed, NoSuchResource, PayloadTooLarge, Refused, ServiceUnavailable
from dayfly.errors import SignerError, StoreError
from dayfly.server.exchange import Dialect, Handler, Header, Request, Response, Route
from dayfly.server.problems import as_refused, render_refused

if TYPE_CHECKING:
    from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, HTTPScope, LifespanScope, Scope

__all__ = ["Application", "Dialect", "Handler", "Header", "OnHandled", "Request", "Response", "Route", "RoutingTable"]

OnHandled = Callable[[str, int, str | None, float, Request], None]
"""Called after each answer: route name ("unmatched" if none), status, bare problem type or None, seconds, request."""

UNMATCHED = "unmatched"
MAX_BODY = 64 * 1024
"""Octets; the front has the same cap, this one holds whatever server stands before the application."""

_SEGMENT = r"/[A-Za-z0-9_~@:!$'()*+,=&-][A-Za-z0-9_~@:!$'()*+,=&.-]*"
_CANONICAL = re.compile(rf"(?:{_SEGMENT})+")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_PARAMETER = re.compile(r"\{([a-z_]+)\}")
_BODILESS = frozenset({204, 304})
_logger = logging.getLogger("dayfly.server")


@dataclass(frozen=True, slots=True)
class _Resource:
    """One pattern: its routes by method, and the names of its parameters with their places in the path.

    Dialect and headers are those of the pattern's first route, so that a 405 has them too.
    """

    methods: dict[str, Route]
    parameters: tuple[tuple[str, int], ...]
    allow: tuple[str, ...]
    dialect: Dialect
    headers: Callable[[Request], tuple[Header, ...]] | None


_Shape = tuple[tuple[int, ...], dict[tuple[str, ...], _Resource]]


class RoutingTable:
    """All routes of a listener, compiled; ValueError for a pattern that is unreadable or a line that stands twice."""

    def __init__(self, routes: Sequence[Route]) -> None:
        """Compile the routes; their order does not matter, a literal segment wins over a parameter."""
        grouped: dict[str, dict[str, Route]] = {}
        for route in routes:
            methods = grouped.setdefault(route.pattern, {})
            if route.method in methods:
                raise ValueError(f"{route.method} {route.pattern} stands twice in the routing table")
            methods[route.method] = route
        self._exact: dict[str, _Resource] = {}
        self._shapes: dict[int, list[_Shape]] = {}
        self._dialects: dict[str, Dialect] = {}
        for pattern, methods in grouped.items():
            self._add(pattern, methods)

    def find(self, path: str, parameters: dict[str, str]) -> _Resource | None:
        """The resource at a canonical path, or None; its parameters are put into `parameters`."""
        resource = self._exact.get(path)
        if resource is not None:
            return resource
        segments = path.split("/")
        shapes = self._shapes.get(len(segments))
        if shapes is None or _CANONICAL.fullmatch(path) is None:
            return None
        for literal, resources in shapes:
            resource = resources.get(tuple([segments[place] for place in literal]))
            if resource is not None:
                for name, place in resource.parameters:
                    parameters[name] = segments[place]
                return resource
        return None

    def dialect(self, path: str) -> Dialect:
        """The dialect in which a path without resource is not found: that of its first segment, else the step API's."""
        return self._dialects.get(path[:64].split("/")[1], Dialect.STEP)

    def _add(self, pattern: str, methods: dict[str, Route]) -> None:
        if "GET" in methods:
            methods.setdefault("HEAD", methods["GET"])
        segments = pattern.split("/")
        if len(segments) < 2 or segments[0]:
            raise ValueError(f"the pattern {pattern!r} does not begin with a slash")
        names = [(match[1], place) for place, text in enumerate(segments) if (match := _PARAMETER.fullmatch(text))]
        first = next(iter(methods.values()))
        resource = _Resource(methods, tuple(names), tuple(sorted(methods)), first.dialect, first.headers)
        self._dialects.setdefault(segments[1], first.dialect)
        if names:
            self._add_shape(segments, resource)
        else:
            self._exact[pattern] = resource

    def _add_shape(self, segments: list[str], resource: _Resource) -> None:
        places = {place for _, place in resource.parameters}
        literal = tuple(place for place in range(1, len(segments)) if place not in places)
        shapes = self._shapes.setdefault(len(segments), [])
        resources = next((table for known, table in shapes if known == literal), None)
        if resources is None:
            resources = {}
            shapes.append((literal, resources))
            shapes.sort(key=lambda shape: -len(shape[0]))
        key = tuple(segments[place] for place in literal)
        if key in resources:
            raise ValueError(f"two patterns match the same paths: {'/'.join(segments)}")
        resources[key] = resource


class Application:
    """The bare ASGI application; `in_flight` is how many requests are being handled."""

    def __init__(
        self,
        routes: Sequence[Route],
        *,
        new_request_id: Callable[[], str],
        on_handled: OnHandled | None = None,
        monotonic: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Compile the table; `monotonic` gives seconds, for durations only."""
        self._table = RoutingTable(routes)
        self._new_request_id = new_request_id
        self._on_handled = on_handled
        self._monotonic = monotonic
        self.in_flight = 0

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """One ASGI connection scope: http or lifespan; RuntimeError for any other."""
        if scope["type"] == "http":
            self.in_flight += 1
            try:
                await self._serve(scope, receive, send)
            finally:
                self.in_flight -= 1
        elif scope["type"] == "lifespan":
            await _lifespan(scope, receive, send)
        else:
            raise RuntimeError(f"scope {scope['type']!r} is not served here")

    async def _serve(self, scope: HTTPScope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        started = self._monotonic()
        try:
            body = await _read_body(receive)
        except ConnectionError:
            return  # the client left before its request was whole: there is nobody to answer
        request = self._request(scope, body or b"")
        resource = self._table.find(request.path, request.params)
        route = None if resource is None else resource.methods.get(request.method)
        try:
            response = await _answer(resource, route, request, whole=body is not None)
        except Exception as error:  # noqa: BLE001 - the edge of the process: the client gets an answer, the log the error
            dialect = self._table.dialect(request.path) if resource is None else resource.dialect
            response = render_refused(_told(error, request), dialect, request_id=request.request_id)
        await _send(send, request, response, _common_headers(resource, request))
        if self._on_handled is not None:
            label = UNMATCHED if route is None else route.label
            _observe(self._on_handled, label, response, self._monotonic() - started, request)

    def _request(self, scope: HTTPScope, body: bytes) -> Request:
        headers: tuple[Header, ...] = tuple(scope["headers"])
        given = _value(headers, b"x-request-id")
        request_id = given.decode("ascii") if given and _REQUEST_ID.fullmatch(given) else self._new_request_id()
        state: dict[str, Any] = scope.get("state") or {}
        return Request(
            scope["method"],
            # what cannot be decoded has a character that no route and no canonical path has
            (scope.get("raw_path") or b"").decode("ascii", "replace"),
            {},
            scope["query_string"],
            headers,
            body,
            scope["client"] or ("", 0),
            state.get("peer_certificate"),
            request_id,
        )


def _value(headers: tuple[Header, ...], wanted: bytes) -> bytes:
    for name, value in headers:
        if name == wanted:
            return value
    return b""


async def _answer(resource: _Resource | None, route: Route | None, request: Request, *, whole: bool) -> Response:
    """What the handler answers; NoSuchResource, MethodNotAllowed (RFC 8555 6.3), PayloadTooLarge."""
    if resource is None:
        raise NoSuchResource("There is nothing at this path.")
    if route is None:
        raise MethodNotAllowed("This resource does not take this method.", allow=resource.allow)
    if not whole:
        raise PayloadTooLarge(f"The body is above {MAX_BODY} octets.")
    return await route.handler(request)


def _common_headers(resource: _Resource | None, request: Request) -> tuple[Header, ...]:
    """The headers of every answer of the resource; a failure here costs the headers, never the answer."""
    if resource is None or resource.headers is None:
        return ()
    try:
        return resource.headers(request)
    except Exception:
        _logger.exception("request %s: no common headers for %s", request.request_id, request.path)
        return ()


def _observe(on_handled: OnHandled, label: str, response: Response, seconds: float, request: Request) -> None:
    try:
        on_handled(label, response.status, response.problem_type, seconds, request)
    except Exception:
        _logger.exception("request %s was answered, but an observer failed", request.request_id)


def _told(error: Exception, request: Request) -> Refused:
    """What the client may know; what it may not goes to the log, under the request id."""
    refused = as_refused(error)
    if isinstance(error, StoreError | SignerError) and isinstance(refused, ServiceUnavailable):
        _logger.warning(
            "request %s: %s %s cannot be done for the moment", request.request_id, request.method, request.path,
            extra={"detail": error.message, "next": error.hint},
        )  # fmt: skip
    elif refused is not error:
        _logger.error("request %s: %s %s failed", request.request_id, request.method, request.path, exc_info=error)
    return refused


async def _read_body(receive: ASGIReceiveCallable) -> bytes | None:
    """The whole body; None if it is above the cap; ConnectionError if the client left."""
    message = await receive()
    if message["type"] == "http.request" and not message["more_body"] and len(message["body"]) <= MAX_BODY:
        return message["body"]
    parts = bytearray()
    while message["type"] == "http.request":
        parts += message["body"]
        if len(parts) > MAX_BODY:
            return None
        if not message["more_body"]:
            return bytes(parts)
        message = await receive()
    raise ConnectionError("the client left")


async def _send(send: ASGISendCallable, request: Request, response: Response, common: tuple[Header, ...]) -> None:
    headers = [(b"x-request-id", request.request_id.encode("ascii", "replace")), *common, *response.headers]
    if response.status not in _BODILESS:
        headers.append((b"content-length", b"%d" % len(response.body)))
        if response.body:
            headers.append((b"content-type", response.media_type))
    await send({"type": "http.response.start", "status": response.status, "headers": headers, "trailers": False})
    await send({"type": "http.response.body", "body": response.body, "more_body": False})


async def _lifespan(_scope: LifespanScope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await send({"type": "lifespan.shutdown.complete"})
            return
