"""The stage of the step API's protocol tests."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest

from step_peer import KEY, Play, Scenario, StepClient, make_step_peer


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Run a scenario against a fresh CA; afterwards the log verifies, whatever happened."""

    def run(scenario: Scenario) -> None:
        async def body() -> None:
            async with aclosing(await make_step_peer(tmp_path, KEY)) as peer:
                await scenario(StepClient(peer, KEY))
                await peer.check_log()

        asyncio.run(body())

    return run
