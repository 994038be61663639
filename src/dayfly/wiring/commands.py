"""What CLI commands do with a CA's home, beside a running server or without one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from dayfly.adapters.stores import open_store
from dayfly.adapters.system import SystemClock
from dayfly.authority.log import verify_log
from dayfly.authority.settings import Plan, change_settings
from dayfly.config.values import Config
from dayfly.core.acme.objects import Certificate
from dayfly.core.events import LogStarted
from dayfly.core.ids import make_id
from dayfly.core.policy.denials import KEPT, KeptDenial
from dayfly.core.policy.lifetimes import LONGEST
from dayfly.core.policy.limits import pause_digest
from dayfly.core.settings.documents import Document
from dayfly.core.settings.provisioners import Provisioner
from dayfly.core.settings.revisions import Settings, SettingsChange
from dayfly.core.transparency.checkpoint import parse_verifier_key
from dayfly.core.transparency.verifying import LogReport
from dayfly.core.x509.constraints import NameConstraints, parse_constraints
from dayfly.errors import Claimed, ConfigError
from dayfly.ports.changes import Changes, Claim
from dayfly.ports.crls import StoredCRL
from dayfly.ports.store import Store

PAGE = 500  # certificates, about a megabyte
MOST_REQUESTS = 200_000  # certificates whose names are looked at together


def is_public_suffix() -> Callable[[str], bool]:
    """The question whether a domain is a public suffix, answered by the list that the extra `server` brings."""
    from publicsuffixlist import PublicSuffixList  # noqa: PLC0415 - half a megabyte, needed when a CA is founded

    suffixes = PublicSuffixList(accept_unknown=False)
    return lambda domain: suffixes.publicsuffix(domain) == domain


def verifier_key_of(config: Config) -> str:
    """The public line with which the log's checkpoints are verified; ConfigError where it is missing."""
    path = config.root.parent / "log_key.pub"
    try:
        return path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        raise ConfigError("", f"{path} cannot be read: the log's verifier key is missing") from None


async def found_database(config: Config, *, documents: tuple[Document, ...], origin: str) -> None:
    """Make the database of a new CA: the log's first entry, then the first settings."""
    clock = SystemClock()
    check_lives(documents, config)
    async with opened(config) as store:
        await store.commit(Changes(events=(LogStarted(clock.now(), origin),)))
        await change_settings(store, clock, lambda current: SettingsChange(current.revision, put=documents, remove=()))


@asynccontextmanager
async def opened(config: Config) -> AsyncIterator[Store]:
    """The database of a CA, beside its running server or without one; closed at the end."""
    store = await open_store(config.database, home=config.home)
    try:
        yield store
    finally:
        await store.close()


async def change_settings_of(config: Config, plan: Plan) -> Settings:
    """Change the settings of a CA, beside its running server or without one."""

    def checked(current: Settings) -> SettingsChange:
        change = plan(current)
        check_lives(change.put, config)
        return change

    async with opened(config) as store:
        return await change_settings(store, SystemClock(), checked)


def check_lives(documents: Iterable[Document], config: Config) -> None:
    """Raise ConfigError where a provisioner gives what needs a CRL, and ca.toml has none (acme.md part 10)."""
    if config.crl is not None:
        return
    for one in documents:
        if isinstance(one, Provisioner) and one.claims.max_lifetime > LONGEST:
            raise ConfigError(
                "",
                f"provisioner {one.name}: a longest lifetime above {LONGEST.days}d needs a CRL, and there is none",
                hint='switch CRLs on in ca.toml: [crl] address = ":9080", and restart the CA; or choose 7d or less',
            )


async def read_settings_of(config: Config) -> Settings:
    """The settings of a CA as they are now."""
    async with opened(config) as store:
        return await store.settings.settings()


async def read_denials_of(config: Config) -> tuple[Settings, tuple[KeptDenial, ...]]:
    """The settings of a CA and the denials that it keeps, newest first."""
    async with opened(config) as store:
        return await store.settings.settings(), await store.denials.newest(limit=KEPT)


@dataclass(frozen=True, slots=True)
class Requests:
    """The settings, and what was asked for since a moment; not `complete` where there was more than is read."""

    settings: Settings
    certificates: tuple[Certificate, ...]
    denials: tuple[KeptDenial, ...]
    complete: bool


async def read_requests_of(config: Config, since: datetime, *, most: int = MOST_REQUESTS) -> Requests:
    """The certificates that were issued since, oldest first and at most so many, and the denials that are kept."""
    async with opened(config) as store:
        after, found = max(0, make_id(int(since.timestamp() * 1000), 0, 0)), list[Certificate]()
        while len(found) < most:
            page = await store.certificates.certificates(after=after, limit=PAGE)
            found += [one for one in page if one.provisioner]  # the CA's own certificate asks no rule
            if len(page) < PAGE:
                break
            after = page[-1].id
        denials = tuple(one for one in await store.denials.newest(limit=KEPT) if one.last_at >= since)
        return Requests(await store.settings.settings(), tuple(found[:most]), denials, len(found) < most)


async def unpause_in(config: Config, account_id: int, names: tuple[str, ...], *, until: datetime) -> None:
    """Lift the pauses of an account and these names until then; NotFound where there is no such account."""
    async with opened(config) as store:
        await store.accounts.account(account_id)
        for name in names:
            with suppress(Claimed):  # it is lifted already
                await store.commit(Changes(claims=(Claim(pause_digest(account_id, name), until),)))


async def certificates_of(config: Config, now: datetime, *, everything: bool) -> AsyncIterator[Certificate]:
    """The certificates of a CA in the order in which they were issued, read in pages; else those that live at `now`."""
    async with opened(config) as store:
        after = 0
        while True:
            page = (
                await store.certificates.certificates(after=after, limit=PAGE)
                if everything
                else await store.certificates.live_certificates(now, after=after, limit=PAGE)
            )
            for certificate in page:
                yield certificate
            if len(page) < PAGE:
                return
            after = page[-1].id


async def crls_of(config: Config) -> tuple[StoredCRL, ...]:
    """The newest CRL of each partition that somebody has asked for."""
    async with opened(config) as store:
        found = [await store.crls.crl(head.partition) for head in await store.crls.heads()]
    return tuple(one for one in found if one is not None)


def read_issuer_of(config: Config) -> tuple[datetime, tuple[NameConstraints, ...]]:
    """When the issuing certificate ends, and the name constraints from it up to the root; ConfigError."""
    try:
        chain = x509.load_pem_x509_certificates(config.issuer_certificate.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError("issuer.certificate", f"{config.issuer_certificate} cannot be read: {error}") from None
    found = (parse_constraints(one) for one in chain)
    return chain[0].not_valid_after_utc, tuple(one for one in found if one is not None)


async def verify_log_of(config: Config) -> LogReport:
    """Check the whole log of a CA, beside its running server or without one."""
    key = parse_verifier_key(verifier_key_of(config))
    async with opened(config) as store:
        return await verify_log(store, key)
