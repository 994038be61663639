"""The codes of doctor: each once, each with its page."""

from __future__ import annotations

import re

import pytest

from dayfly.core.doctor.catalogue import CATALOGUE, PAGES, Level, Page


def test_codes_are_unique_and_in_order() -> None:
    """A code is used once, and the pages rise."""
    codes = [page.code for page in PAGES]
    assert codes == sorted(set(codes)) == sorted(CATALOGUE)
    assert len(codes) >= 20


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.code)
def test_page_says_what_it_means_and_what_to_do(page: Page) -> None:
    """DF and four digits of the four ranges; a level that is a finding; three texts."""
    assert re.fullmatch(r"DF4[0-3]\d\d", page.code)
    assert page.level in {Level.WARNING, Level.PROBLEM}
    assert all(len(text) > 15 for text in (page.title, page.means, page.mend))
