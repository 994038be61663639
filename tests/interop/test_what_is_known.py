"""What clients call themselves, as the CA's advice has it; last, since it asks about the accounts of all tests before.

By itself it has accounts of no client to ask about, and says nothing.
"""

from __future__ import annotations

import json

import pytest

from dayfly.core.acme.clients import recognise
from interop.lab import Lab

pytestmark = pytest.mark.interop


def test_every_client_is_known_by_what_it_calls_itself__acme_15(lab: Lab) -> None:
    """No account of this run was made by a stranger."""
    accounts = json.loads(lab.ca.dayfly("ca", "account", "list", "--all", "--json").stdout)
    assert {one["user_agent"] for one in accounts if recognise(one["user_agent"] or "") is None} == set()
