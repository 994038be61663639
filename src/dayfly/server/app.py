"""The application: one routing table, one place where errors become answers.

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
from operator import itemgetter

from dayfly.core.problems import MethodNotAllowed, NoSuchResource, PayloadTooLarge, Refused, ServiceUnavailable
from dayfly.errors import SignerError, StoreError
from dayfly.server.exchange import Answer, Dialect, Handler, Header, Request, Response, Route, render_headers
from dayfly.server.problems import as_refused, render_refused

__all__ = ["Application", "Dialect", "Handler", "Header", "OnHandled", "Request", "Response", "Route", "RoutingTable"]

OnHandled = Callable[[str, int, str | None, float, Request], None]
"""Called after each answer: route name ("unmatched" if none), status, bare problem type or None, seconds, request."""

UNMATCHED = "unmatched"
MAX_BODY = 64 * 1024
"""Octets; the front has the same cap, this one holds whatever stands before the application."""

_SEGMENT = r"/[A-Za-z0-9_~@:!$'()*+,=&-][A-Za-z0-9_~@:!$'()*+,=&.-]*"
_CANONICAL = re.compile(rf"(?:{_SEGMENT})+")
_PARAMETER = re.compile(r"\{([a-z_]+)\}")
_BODILESS = frozenset({204, 304})
_logger = logging.getLogger("dayfly.server")


_Pick = Callable[[tuple[str, ...]], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class _Resource:
    """One pattern: its routes by method, the names of its parameters, and what takes them from a path's segments.

    Dialect and headers are those of the pattern's first route, so that a 405 has them too.
    """

    methods: dict[str, Route]
    parameters: tuple[str, ...]
    pick: _Pick
    allow: tuple[str, ...]
    dialect: Dialect
    headers: Callable[[Request], bytes] | None


@dataclass(frozen=True, slots=True)
class _Shape:
    """Patterns of one length with their literal segments in the same places, by these segments."""

    literal: tuple[int, ...]
    pick: _Pick
    resources: dict[tuple[str, ...], _Resource]


def _picker(places: Sequence[int]) -> _Pick:
    """What takes the items in these places of a tuple, as a tuple, however many there are."""
    if len(places) > 1:
        return itemgetter(*places)
    return itemgetter(slice(places[0], places[0] + 1) if places else slice(0))


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
        segments = tuple(path.split("/"))
        shapes = self._shapes.get(len(segments))
        if shapes is None or _CANONICAL.fullmatch(path) is None:
            return None
        for shape in shapes:
            resource = shape.resources.get(shape.pick(segments))
            if resource is not None:
                parameters.update(zip(resource.parameters, resource.pick(segments), strict=True))
                return resource
        return None

    def dialect(self, path: str) -> Dialect:
        """The dialect in which a path without resource is not found: that of its first segment, else the step API's."""
        return self._dialects.get(path[:64].split("/")[1], Dialect.STEP)

    def _add(self, pattern: str, methods: dict[str, Route]) -> None:
        if "GET" in methods:
            methods.setdefault("HEAD", methods["GET"])
        segments = tuple(pattern.split("/"))
        if len(segments) < 2 or segments[0]:
            raise ValueError(f"the pattern {pattern!r} does not begin with a slash")
        names = {place: match[1] for place, text in enumerate(segments) if (match := _PARAMETER.fullmatch(text))}
        first = next(iter(methods.values()))
        resource = _Resource(
            methods, tuple(names.values()), _picker(tuple(names)), tuple(sorted(methods)), first.dialect, first.headers
        )
        self._dialects.setdefault(segments[1], first.dialect)
        if names:
            literal = tuple(place for place in range(1, len(segments)) if place not in names)
            self._add_shape(segments, literal, resource)
        else:
            self._exact[pattern] = resource

    def _add_shape(self, segments: tuple[str, ...], literal: tuple[int, ...], resource: _Resource) -> None:
        shapes = self._shapes.setdefault(len(segments), [])
        shape = next((one for one in shapes if one.literal == literal), None)
        if shape is None:
            shape = _Shape(literal, _picker(literal), {})
            shapes.append(shape)
            shapes.sort(key=lambda one: -len(one.literal))
        key = shape.pick(segments)
        if key in shape.resources:
            raise ValueError(f"two patterns match the same paths: {'/'.join(segments)}")
        shape.resources[key] = resource


class Application:
    """The application; `in_flight` is how many requests are being handled."""

    def __init__(
        self,
        routes: Sequence[Route],
        *,
        new_request_id: Callable[[], str],
        on_handled: OnHandled | None = None,
        monotonic: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Compile the table; `new_request_id` is for requests that bring none; `monotonic` gives seconds."""
        self._table = RoutingTable(routes)
        self.new_request_id = new_request_id
        self._on_handled = on_handled
        self._monotonic = monotonic
        self.in_flight = 0

    async def respond(self, request: Request) -> Answer:
        """The answer to a request, whatever it is; ValueError where a handler gives a header that is none."""
        started = self._monotonic()
        resource = self._table.find(request.path, request.params)
        route = None if resource is None else resource.methods.get(request.method)
        self.in_flight += 1
        try:
            try:
                if route is None or len(request.body) > MAX_BODY:
                    raise _unanswerable(resource, route)  # noqa: TRY301 - told as what a handler raises is
                response = await route.handler(request)
            except Exception as error:  # noqa: BLE001 - the edge of the process: the client gets an answer, the log the error
                dialect = self._table.dialect(request.path) if resource is None else resource.dialect
                response = render_refused(_told(error, request), dialect, request_id=request.request_id)
            answer = _render(request, response, _common_lines(resource, request))
        finally:
            self.in_flight -= 1
        if self._on_handled is not None:
            label = UNMATCHED if route is None else route.label
            _observe(self._on_handled, label, response, self._monotonic() - started, request)
        return answer


def _unanswerable(resource: _Resource | None, route: Route | None) -> Refused:
    """Why no handler is asked: NoSuchResource, MethodNotAllowed (RFC 8555 6.3), PayloadTooLarge."""
    if resource is None:
        return NoSuchResource("There is nothing at this path.")
    if route is None:
        return MethodNotAllowed("This resource does not take this method.", allow=resource.allow)
    return PayloadTooLarge(f"The body is above {MAX_BODY} octets.")


def _common_lines(resource: _Resource | None, request: Request) -> bytes:
    """The header lines of every answer of the resource; a failure here costs the headers, never the answer."""
    if resource is None or resource.headers is None:
        return b""
    try:
        return resource.headers(request)
    except Exception:
        _logger.exception("request %s: no common headers for %s", request.request_id, request.path)
        return b""


def _render(request: Request, response: Response, common: bytes) -> Answer:
    """The answer with its X-Request-Id, the route's headers, its own, and what tells of its body."""
    own = render_headers(response.headers) if response.headers else b""
    body = response.body
    told = b""
    if body:
        told = b"content-length: %d\r\ncontent-type: %b\r\n" % (len(body), response.media_type)
    elif response.status not in _BODILESS:
        told = b"content-length: 0\r\n"
    request_id = request.request_id.encode("ascii", "replace")
    return Answer(response.status, b"x-request-id: %b\r\n%b%b%b" % (request_id, common, own, told), body)


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
