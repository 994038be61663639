"""URLs of pages that clients show to people: plain ones, since they are printed as they are."""

from __future__ import annotations

from urllib.parse import urlsplit

MAX_URL = 500


def page_url_fault(url: str) -> str:
    """What is wrong with the URL of a page; "" where nothing is."""
    if len(url) > MAX_URL or not url.isascii() or not url.isprintable() or any(one in url for one in " \"'<>\\`{|}^"):
        return f"the URL of a page is at most {MAX_URL} printable ASCII characters without spaces and quotes"
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return "the URL of a page cannot be read"
    if parts.scheme not in {"http", "https"} or not host or parts.username is not None:
        return "the URL of a page begins with https:// or http:// and a host, as https://wiki.internal.example/pki"
    return ""
