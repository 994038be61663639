"""The stage of the step API's protocol tests."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from dayfly.authority.log import sign_checkpoint, verify_log
from step_peer import KEY, Play, Scenario, StepClient, make_step_peer


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Run a scenario against a fresh CA; afterwards the log verifies, whatever happened."""

    def run(scenario: Scenario) -> None:
        async def body() -> None:
            peer = await make_step_peer(tmp_path, KEY)
            try:
                await scenario(StepClient(peer, KEY))
                await sign_checkpoint(peer.authority, last_size=0)
                report = await verify_log(peer.store, peer.key)
                assert report.ok, report.findings
            finally:
                await peer.validations.close()
                await peer.store.close()

        asyncio.run(body())

    return run
