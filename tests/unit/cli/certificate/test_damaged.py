"""Damaged certificates and requests: told in one line, whatever the library raises and whenever it does."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from dayfly.cli.certificate.facts import describe, describe_request
from dayfly.cli.certificate.renderings import render_short, render_text
from dayfly.cli.certificate.sources import load_source
from dayfly.cli.main import run
from dayfly.core.x509.chain import verify_for_any_use
from dayfly.errors import DayflyError
from factories import csr_der
from small_pki import PKI

BITS = (0x01, 0x10, 0x80, 0xFF)


def damaged(der: bytes) -> Iterator[bytes]:
    """The same with one octet changed, for each octet."""
    for place in range(len(der)):
        for bits in BITS:
            yield der[:place] + bytes([der[place] ^ bits]) + der[place + 1 :]


@pytest.mark.parametrize("kind", ["leaf", "root", "request"])
def test_any_octet_changed_is_shown_or_told(kind: str, tmp_path: Path) -> None:
    """Never another exception than ours: not when it is loaded, described, rendered or verified."""
    pki = PKI()
    der = {"leaf": pki.leaf().public_bytes(Encoding.DER), "root": pki.root, "request": csr_der()}[kind]
    between = (x509.load_der_x509_certificate(pki.intermediate),)
    anchors, now = (x509.load_der_x509_certificate(pki.root),), pki.born
    path, shown, told = tmp_path / "x", 0, 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library's, of serial numbers
        for changed in damaged(der):
            path.write_bytes(changed)
            try:
                source = load_source(str(path))
                facts = describe_request(source.request) if source.request else describe(source.certificates[0])
                assert render_short(facts)
                assert render_text(facts)
                shown += 1
            except DayflyError:
                told += 1
            with contextlib.suppress(DayflyError):
                for one in load_source(str(path)).certificates:
                    verify_for_any_use(one, between, anchors, now=now)
    assert shown > 100
    assert told > 100


@pytest.mark.parametrize(("verb", "code"), [("inspect", 1), ("verify", 1), ("fingerprint", 1), ("needs-renewal", 255)])
def test_damaged_file_is_one_line_and_an_error(
    verb: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A version that does not exist: refused by each verb with its own exit code."""
    der = PKI().root
    place = der.index(b"\xa0\x03\x02\x01\x02") + 4
    (tmp_path / "x.crt").write_bytes(der[:place] + b"\x12" + der[place + 1 :])
    assert run(["certificate", verb, str(tmp_path / "x.crt")]) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert "this is a bug" not in said.err
