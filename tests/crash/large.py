"""A store with very many certificates, made fast: rows and log entries as the CA writes them, in large groups."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta

from ca_world import CA
from dayfly.adapters.stores import open_store
from dayfly.core.events import CertificateIssued, IssueKind
from dayfly.core.frozen import replace
from dayfly.core.ids import make_id
from dayfly.ports.changes import Changes
from factories import certificate, dns

GROUP = 500  # certificates in one change set
DER = bytes(700)  # octets that stand for a certificate; nobody parses them at a start


def fill(ca: CA, count: int) -> None:
    """Put `count` live certificates of as many names into the CA's database."""

    async def body() -> None:
        store = await open_store("sqlite:db/dayfly.db", home=ca.home)
        now = datetime.now(UTC).replace(microsecond=0)  # noqa: TID251 - they are live when the CA looks
        for begin in range(0, count, GROUP):
            await store.commit(_group(range(begin, min(begin + GROUP, count)), now))
        await store.close()

    asyncio.run(body())


def _group(numbers: range, now: datetime) -> Changes:
    """One change set: rows, and an entry for each."""
    milliseconds = int((now - timedelta(hours=1)).timestamp() * 1000)
    rows, events = [], []
    for number in numbers:
        row_id = make_id(milliseconds - number, 0, 0)
        der = number.to_bytes(8) + DER
        row = replace(
            certificate(), id=row_id, serial=row_id << 96 | 1, der=der, names=(dns(f"h{number}.internal.example"),),
            not_before=now - timedelta(hours=1), not_after=now + timedelta(hours=23), order_id=None,
        )  # fmt: skip
        rows.append(row)
        events.append(_event(row_id, row.serial, der, number, now))
    return Changes(insert=tuple(rows), events=tuple(events))


def _event(row_id: int, serial: int, der: bytes, number: int, now: datetime) -> CertificateIssued:
    return CertificateIssued(
        at=now - timedelta(hours=1),
        certificate_id=row_id,
        serial=serial,
        fingerprint=hashlib.sha256(der).hexdigest(),
        names=(dns(f"h{number}.internal.example"),),
        not_before=now - timedelta(hours=1),
        not_after=now + timedelta(hours=23),
        provisioner="acme",
        owner="platform-team",
        rule="r1",
        profile="service",
        profile_hash="00",
        account_id=7,
        order_id=None,
        kind=IssueKind.NEW,
        spki_hash=f"{number:064x}",
    )
