"""Limits by source: how much an address may ask for, and how often it may bring bad credentials.

Rules: an IPv6 address stands for its /64; private sources have ten times as much, since many services may sit behind
one address (security.md section 7); a source that is not known counts as one, so that nothing passes uncounted.
"""

from __future__ import annotations

from dayfly.authority.context import Authority, Source
from dayfly.authority.limits import rate_of, source_key


def count_request(authority: Authority, source: Source | None) -> None:
    """Count a request that anybody may make; RateLimited."""
    if authority.limits.enabled:
        authority.limits.requests.take(
            source_key(source),
            rate_of(authority.limits.figures.requests, source),
            authority.clock.now(),
            what="too many requests for directory, nonces and renewal information came from this address",
        )


def count_download(authority: Authority, source: Source | None) -> None:
    """Count the download of an encrypted key; RateLimited."""
    authority.limits.downloads.take(
        source_key(source),
        rate_of(authority.limits.figures.key_downloads, source),
        authority.clock.now(),
        what="too many encrypted keys were downloaded from this address",
    )


def check_credentials(authority: Authority, source: Source | None) -> None:
    """Raise RateLimited for a source that brought too many bad signatures, tokens or certificates."""
    if authority.limits.enabled:
        authority.limits.credentials.check(
            source_key(source),
            rate_of(authority.limits.figures.bad_credentials, source),
            authority.clock.now(),
            what="too many bad signatures, tokens or certificates came from this address",
        )


def count_bad_credential(authority: Authority, source: Source | None) -> None:
    """This source brought one."""
    rate = rate_of(authority.limits.figures.bad_credentials, source)
    authority.limits.credentials.use(source_key(source), rate, authority.clock.now())
