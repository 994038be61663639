"""URLs of pages that clients print."""

from __future__ import annotations

import pytest

from dayfly.core.pages import page_url_fault


@pytest.mark.parametrize(
    "url", ["https://wiki.internal.example/pki?why=1#top", "http://10.0.0.1:8080/", "https://[::1]/"]
)
def test_plain_url_of_a_page_is_taken(url: str) -> None:
    """With a port, a query, an address."""
    assert page_url_fault(url) == ""


@pytest.mark.parametrize(
    "url",
    [
        "", "wiki.internal.example", "ftp://wiki.internal.example/", "https://", "https:///path", "javascript:alert(1)",
        "https://me@wiki.internal.example/", "https://wiki.internal.example/a b", "https://wiki.internal.example/\n",
        "https://wiki.internal.example/\u00e9", 'https://wiki.internal.example/"', "https://[::1/",
        "https://" + "w" * 500,
    ],
)  # fmt: skip
def test_other_url_is_refused_with_the_reason(url: str) -> None:
    """Another scheme, no host, a user, spaces, line ends, quotes, other alphabets, too long."""
    assert page_url_fault(url)
