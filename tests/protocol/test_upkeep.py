"""Timed work on a store that is away: it goes on, harms nobody, and does not fill the log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from acme_peer import Peer, make_peer
from dayfly.authority.own_certificate import OwnCertificate
from dayfly.authority.upkeep import Upkeep
from dayfly.errors import Unavailable
from factories import dns


def own_certificate(peer: Peer, installed: list[bytes]) -> OwnCertificate:
    """A listener's certificate; what is installed is kept in a list."""

    def install(chain: bytes, key: EllipticCurvePrivateKey) -> None:
        del key
        installed.append(chain)

    return OwnCertificate(peer.authority, (dns("ca.internal.example"),), install)


def play(where: Path, scenario: Callable[[Peer], Coroutine[Any, Any, None]]) -> None:
    """Run a scenario against a fresh CA."""

    async def body() -> None:
        peer = await make_peer(where)
        try:
            await scenario(peer)
        finally:
            await peer.store.close()

    asyncio.run(body())


async def full(*_arguments: object, **_more: object) -> None:
    """A store on a full disk."""
    raise Unavailable("the disk is full", hint="make room on the disk")


def test_failure_that_goes_on_is_told_once_a_minute_and_so_is_its_end__reliability_r4(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A certificate that cannot be renewed for 90 s of ticks takes two lines; the renewal after them one."""
    caplog.set_level(logging.INFO, "dayfly.authority")

    async def scenario(peer: Peer) -> None:
        installed: list[bytes] = []
        own = own_certificate(peer, installed)
        upkeep = Upkeep(peer.authority, own)
        with monkeypatch.context() as patch:
            patch.setattr(type(peer.store), "commit", full)
            for _ in range(90):
                await upkeep.tick()
                peer.clock.moment += timedelta(seconds=1)
        assert installed == []
        await upkeep.tick()
        assert len(installed) == 1

    play(tmp_path, scenario)
    lines = [record.getMessage() for record in caplog.records if getattr(record, "job", "") == "renew_own_certificate"]
    assert lines == ["upkeep failed", "upkeep failed", "upkeep works again"]
    assert {getattr(record, "next", "") for record in caplog.records} >= {"make room on the disk"}


def test_stop_without_a_last_checkpoint_is_a_stop__reliability_r18(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A store that takes no checkpoint at the end is told of, and the stop goes on."""

    async def scenario(peer: Peer) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(type(peer.store.log), "add_checkpoint", full)
            await Upkeep(peer.authority, own_certificate(peer, [])).finish()

    play(tmp_path, scenario)
    assert [getattr(record, "job", "") for record in caplog.records if record.levelname == "ERROR"] == ["checkpoint"]


def test_store_that_is_away_takes_one_line_without_a_stack__security_l2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has why and what next, under the request's id; the answer has neither."""

    async def scenario(peer: Peer) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(type(peer.authority.nonces), "issue", lambda _: _raise())
            reply = await peer.send("HEAD", "/acme/acme/new-nonce")
        assert reply.status == 503
        assert b"full" not in reply.body

    play(tmp_path, scenario)
    (record,) = [one for one in caplog.records if one.name == "dayfly.server" and "for the moment" in one.getMessage()]
    assert (record.levelname, record.exc_info) == ("WARNING", None)
    assert (getattr(record, "detail", ""), getattr(record, "next", "")) == ("the disk is full", "make room on the disk")


def _raise() -> str:
    raise Unavailable("the disk is full", hint="make room on the disk")
