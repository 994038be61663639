"""The recorded exchanges of a step-ca, played against this CA: a stand-in for the stock client (step-compat.md 15)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ca_world import running
from step_exchanges import Fact, play
from step_tls import client_of

RECORDED = [Fact(**one) for one in json.loads((Path(__file__).parents[1] / "vectors/step/exchanges.json").read_text())]

# What we leave out on purpose: the encrypted key has a route of its own (step-compat.md part 3).
LEFT_OUT = {"provisioners[JWK].encryptedKey"}


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Fact]]:
    """What this CA answers, by the name of the exchange."""
    where = tmp_path_factory.mktemp("exchanges")
    with running(where) as ca:
        yield {one.what: one for one in play(client_of(ca, where))}


def test_every_recorded_exchange_is_played(played: dict[str, Fact]) -> None:
    """The record and the play are of one make."""
    assert list(played) == [one.what for one in RECORDED]


@pytest.mark.parametrize("recorded", RECORDED, ids=[one.what for one in RECORDED])
def test_we_answer_as_step_ca_does__step_2(played: dict[str, Fact], recorded: Fact) -> None:
    """The same status and media type, and every member that the client may look for, of the same type."""
    ours = played[recorded.what]
    assert (ours.method, ours.path, ours.status) == (recorded.method, recorded.path, recorded.status)
    assert ours.media_type == recorded.media_type
    wanted = {name: kind for name, kind in recorded.members.items() if name not in LEFT_OUT}
    assert wanted.items() <= ours.members.items()
