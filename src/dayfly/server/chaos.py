"""Retry-After on every answer, for chaos mode only (core/acme/chaos).

Rules: what an answer says of itself stays; of two answers one has seconds and the next a date, since RFC 9110 10.2.3
allows both.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import datetime, timedelta
from email.utils import format_datetime

import msgspec

from dayfly.core.frozen import replace
from dayfly.core.problems import Refused
from dayfly.server.exchange import Header, Request, Response, Route

RETRY_AFTER = b"retry-after"


def with_retry_after(route: Route, seconds: int, header: Callable[[], Header]) -> Route:
    """The route, whose every answer names a time to come back: that of `header`, and `seconds` where it is refused."""

    async def handler(request: Request) -> Response:
        try:
            response = await route.handler(request)
        except Refused as refused:
            refused.retry_after = refused.retry_after or seconds
            raise
        if any(name == RETRY_AFTER for name, _ in response.headers):
            return response
        return msgspec.structs.replace(response, headers=(*response.headers, header()))

    return replace(route, handler=handler)


def chaotic(routes: tuple[Route, ...], *, retry_after: int, now: Callable[[], datetime]) -> tuple[Route, ...]:
    """All these routes with a Retry-After on whatever they answer; `now` is aware, UTC."""
    turns = itertools.count()

    def header() -> Header:
        date = format_datetime(now() + timedelta(seconds=retry_after), usegmt=True)
        return RETRY_AFTER, (str(retry_after) if next(turns) % 2 == 0 else date).encode("ascii")

    return tuple(with_retry_after(route, retry_after, header) for route in routes)
