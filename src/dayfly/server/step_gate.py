"""What every request with a credential passes on the step API: its source, and the limit on bad credentials.

Rules: a source that has brought too many bad credentials is told to wait before anything is verified; only a 401
counts, so that whoever has a good credential is never slowed down by what it asks for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dayfly.authority.context import Authority, Source
from dayfly.core.problems import Unauthorized
from dayfly.server.acme_gate import source_of
from dayfly.server.exchange import Request
from dayfly.server.source_limits import check_credentials, count_bad_credential

UNAUTHENTICATED = 401


@contextmanager
def credentials(authority: Authority, request: Request) -> Iterator[Source | None]:
    """The source of a request; RateLimited for one that brought too many bad credentials, and this one counts, too."""
    source = source_of(request)
    check_credentials(authority, source)
    try:
        yield source
    except Unauthorized as error:
        if error.http_status == UNAUTHENTICATED:
            count_bad_credential(authority, source)
        raise
