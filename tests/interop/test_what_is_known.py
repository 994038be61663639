"""What clients call themselves, as the CA's advice has it; last, since it asks about the accounts of all tests before.

By itself it has accounts of no client to ask about, and says nothing.
"""

from __future__ import annotations

import json
import os

import pytest

from dayfly.core.acme.clients import PROGRAMS, recognise
from interop.lab import Lab
from interop.table import Row

pytestmark = pytest.mark.interop


def test_every_client_is_known_by_what_it_calls_itself__acme_15(lab: Lab, rows: dict[str, Row]) -> None:
    """No account of this run was made by a stranger, and each program of the table so far has made one as itself."""
    listed = json.loads(lab.ca.dayfly("ca", "account", "list", "--all", "--json").stdout)
    known = {one["user_agent"]: recognise(one["user_agent"] or "") for one in listed}
    assert [user_agent for user_agent, client in known.items() if client is None] == []
    if os.environ.get("DAYFLY_INTEROP") == "all":  # in order, so what ran so far had this lab
        names = {client.program.name for client in known.values() if client is not None}
        assert rows.keys() & {one.name for one in PROGRAMS} <= names
