"""What every request with a credential passes on the step API: its source, and the limit on bad credentials.

Rules: a source that has brought too many bad credentials is told to wait before anything is verified; only a 401
counts, so that whoever has a good credential is never slowed down by what it asks for; private sources have ten times
as many, since many services may sit behind one address (security.md section 7).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dayfly.authority.context import Authority, Source
from dayfly.authority.limits import BAD_CREDENTIALS, KEY_DOWNLOADS, source_key
from dayfly.core.policy.limits import Rate
from dayfly.core.problems import Unauthorized
from dayfly.server.acme_gate import source_of
from dayfly.server.exchange import Request
from dayfly.server.limits import PRIVATE_NETWORKS, is_private

PRIVATE_FACTOR = 10
UNAUTHENTICATED = 401


@contextmanager
def credentials(authority: Authority, request: Request) -> Iterator[Source | None]:
    """The source of a request; RateLimited for one that brought too many bad credentials, and this one counts, too."""
    source, limiter = source_of(request), authority.limits.credentials
    rate, key, now = _rate(BAD_CREDENTIALS, source), source_key(source), authority.clock.now()
    limiter.check(key, rate, now, what="too many bad tokens or certificates came from this address")
    try:
        yield source
    except Unauthorized as error:
        if error.http_status == UNAUTHENTICATED:
            limiter.use(key, rate, now)
        raise


def count_download(authority: Authority, request: Request) -> None:
    """Count the download of an encrypted key; RateLimited."""
    source = source_of(request)
    authority.limits.downloads.take(
        source_key(source),
        _rate(KEY_DOWNLOADS, source),
        authority.clock.now(),
        what="too many encrypted keys were downloaded from this address",
    )


def _rate(rate: Rate, source: Source | None) -> Rate:
    private = source is not None and is_private(source, PRIVATE_NETWORKS)
    return rate.times(PRIVATE_FACTOR) if private else rate
