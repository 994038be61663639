"""The pages about ACME clients: what they show is in the programs that run, and the table is whole."""

from __future__ import annotations

import pytest

from interop.libraries import SOURCES
from interop.programs import LIBRARIES, PAGES, blocks
from interop.table import DEEDS, NEVER, QUIRKS, Row, merged

PROGRAMS = {
    "Go: x/crypto/acme": "go/xcrypto/main.go",
    "Go: lego": "go/lego/main.go",
    "Go: CertMagic": "go/certmagic/main.go",
    "cert-manager": "go/certmanager/main.go",
    "Rust: instant-acme": "rust/src/main.rs",
    "Java: acme4j": "java/src/main/java/Interop.java",
    "JavaScript: acme-client": "node/acme-client.js",
    "Python: acme": "python/acme_library.py",
    "Ruby: acme-client": "ruby/acme_client.rb",
}
TABLE = PAGES.parent / "reference" / "acme-clients.md"


@pytest.mark.parametrize("heading", PROGRAMS)
def test_each_line_of_a_block_is_in_the_program(heading: str) -> None:
    """The last block below a heading is of the program, line for line."""
    lines = {line.strip() for line in (SOURCES / PROGRAMS[heading]).read_text("utf-8").splitlines()}
    shown = blocks(heading, LIBRARIES)[-1].splitlines()
    assert shown
    assert [line for line in shown if line.strip() not in lines] == []


def test_the_table_holds_fourteen_clients_that_enrolled_and_renewed() -> None:
    """Every client of the table did both, and what is known of a client is of one in the table."""
    rows = [line.strip("| \n").split(" | ") for line in TABLE.read_text("utf-8").splitlines() if line[:1] == "|"][2:]
    enrol = 2 + DEEDS.index("enrol")
    assert len(rows) >= 14
    assert all(row[enrol : enrol + 2] == ["yes", "yes"] for row in rows)
    assert {*NEVER, *QUIRKS} <= {row[0] for row in rows}


def test_a_run_keeps_the_rows_of_clients_that_it_did_not_see() -> None:
    """Its own rows replace those of the same client, in the order of names."""
    once = merged("# T\n\n| client |\n", [Row("step", "1", {"enrol"}), Row("uacme", "1", {"enrol"})])
    twice = merged(once, [Row("lego", "2", {"renew"}), Row("uacme", "2", {"renew"})])
    found = [line.split(" | ")[:4] for line in twice.splitlines()[4:]]
    assert found == [["| lego", "2", "", "yes"], ["| step", "1", "yes", ""], ["| uacme", "2", "", "yes"]]
