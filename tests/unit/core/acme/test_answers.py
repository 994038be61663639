"""The JSON of the server as a client reads it: what is loose is refused."""

from __future__ import annotations

import pytest

from dayfly.core.acme.answers import (
    WireAccount,
    WireProblem,
    parse_answer,
)
from dayfly.errors import ClientError


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"status":1}', b"\xff", b"[" * 100_000])
def test_other_answer_is_a_client_error__agent_8(body: bytes) -> None:
    """Whatever a server sends, the client says what it was not."""
    with pytest.raises(ClientError, match="account"):
        parse_answer(body, WireAccount)


def test_problem_without_members_is_a_problem__rfc9457() -> None:
    """All members have a default."""
    found = parse_answer(b'{"subproblems":null}', WireProblem)
    assert (found.kind, found.status, found.subproblems) == ("about:blank", 0, None)
