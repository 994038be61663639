"""ACME libraries in other languages, unmodified, in small programs of ours (docs/how-to/acme-libraries.md).

Rules: slow to build, so `make interop` runs all of it and `make test` none; what a program says of itself counts for
nothing, the CA and the files do.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ca_world import NAME
from interop.lab import Lab, run
from interop.libraries import LIBRARIES, Library
from interop.programs import check_file

pytestmark = [
    pytest.mark.interop,
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.environ.get("DAYFLY_INTEROP") != "all", reason="make interop runs it"),
]


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.name)
def test_a_library_enrols_and_renews(lab: Lab, tmp_path: Path, library: Library, saw: Callable[..., None]) -> None:
    """Two certificates of one account; the second replaces the first, and is revoked, where the library can."""
    run(lab, tmp_path, library.command(lab.ca.root), *(deed.lower() for deed in library.deeds if deed != "EAB"))
    first = check_file(lab.ca, tmp_path / "first.pem", NAME)
    second = check_file(lab.ca, tmp_path / "second.pem", NAME)
    assert first != second
    saw(library.name, "enrol", "renew", version=library.pin)
    if "ARI" in library.deeds:
        assert lab.replaced_by(second) == (first if library.replaces else None)
        saw(library.name, "ARI")
    if "revoke" in library.deeds:
        assert lab.is_revoked(second)
        assert not lab.is_revoked(first)
        saw(library.name, "revoke")
