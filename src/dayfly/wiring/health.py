"""The checks of readiness (observability.md 7)."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from dayfly.authority.own_certificate import OwnCertificate
from dayfly.errors import Unavailable
from dayfly.ports.crls import CRLHead
from dayfly.ports.signing import Signer
from dayfly.ports.store import Store
from dayfly.ports.system import Clock

LOW_DISK = 200 * 1024 * 1024  # octets (reliability.md R4)


@dataclass(slots=True)
class Health:
    """The checks of readiness; the last answers are kept for the collector."""

    store: Store
    signer: Signer
    own: OwnCertificate
    clock: Clock
    home: Path
    last: dict[str, bool] = field(default_factory=dict)
    provisioners: tuple[tuple[str, str, bool, float], ...] = ()
    log_size: int = 0
    crl: tuple[float, float, int] | None = None
    """The earliest thisUpdate and nextUpdate of all CRLs (Unix time), and their entries; None where there is none."""

    async def checks(self) -> dict[str, bool]:
        """Each check by its name; none of them raises."""
        now = self.clock.now()
        database = await self._database()
        self.last = {
            "db": database,
            "signer": self.signer.issuer.not_before <= now < self.signer.issuer.not_after,
            "audit": database and self.log_size > 0,
            "tls": self.own.not_after is not None and now < self.own.not_after,
            "disk": shutil.disk_usage(self.home).free >= LOW_DISK,
        }
        return self.last

    async def can_issue(self) -> bool:
        """Can the database and the signer be used? What `/health` answers."""
        checks = await self.checks()
        return checks["db"] and checks["signer"]

    async def _database(self) -> bool:
        try:
            await self.store.check()
            self.log_size = (await self.store.log.head()).size
            self.provisioners = tuple(
                (one.name, one.type.value, one.enabled, one.claims.max_lifetime.total_seconds())
                for one in (await self.store.settings.settings()).provisioners
            )
            self.crl = _crl_figures(await self.store.crls.heads())
        except Unavailable:
            return False
        return True


def _crl_figures(heads: tuple[CRLHead, ...]) -> tuple[float, float, int] | None:
    if not heads:
        return None
    return (
        min(one.this_update for one in heads).timestamp(),
        min(one.next_update for one in heads).timestamp(),
        sum(one.entries for one in heads),
    )
