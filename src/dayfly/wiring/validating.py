"""A dry run of challenges from the CA's seat: the validators that the server has, and a record of their hops.

Rules: nothing is asked of a client and nothing is stored; what is looked for is a token that nobody has, so an answer
of any kind says that the place is reached; the addresses are judged as for a real challenge.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_network

from dayfly.adapters.validators import look
from dayfly.adapters.validators.caa import CaaClimber
from dayfly.adapters.validators.hops import Hop, Step, recorded
from dayfly.config.values import Config
from dayfly.core.acme.caa import Issuance, forbidden_by
from dayfly.core.acme.challenges import OF_AN_ACCOUNT
from dayfly.core.frozen import replace
from dayfly.core.identifiers import Identifier, IdentifierType
from dayfly.core.policy.addresses import Network
from dayfly.core.settings.provisioners import DEFAULT_CHALLENGES, ProvisionerType
from dayfly.core.settings.revisions import Settings
from dayfly.errors import UsageError
from dayfly.ports.validation import ValidationFailed, ValidationTarget, Validator, ValidatorSpec
from dayfly.wiring.configured import resolver_of, validators_of


@dataclass(frozen=True, slots=True)
class DryRun:
    """What came of one challenge type.

    `problem` and `detail` are what a client would be told; `opened` are the networks whose listing in `allow` would let
    it through, with those that are listed already.
    """

    type: str
    reached: bool
    problem: str
    detail: str
    hops: tuple[Hop, ...]
    opened: tuple[str, ...]


def types_for(settings: Settings, *, provisioner: str, account_url: str) -> tuple[str, ...]:
    """The challenge types that this provisioner offers, or any; UsageError where there is no such provisioner."""
    offering = [
        one
        for one in settings.provisioners
        if one.type is ProvisionerType.ACME and (not provisioner or one.name == provisioner)
    ]
    if provisioner and not offering:
        raise UsageError(f"there is no ACME provisioner {provisioner}", hint="see them: dayfly ca provisioner list")
    wanted = [kind for one in offering for kind in one.challenges or DEFAULT_CHALLENGES] or list(DEFAULT_CHALLENGES)
    kinds = tuple(dict.fromkeys(wanted))
    return kinds if account_url else tuple(kind for kind in kinds if kind not in OF_AN_ACCOUNT)


def caa_names(settings: Settings, config: Config, *, provisioner: str) -> tuple[str, ...]:
    """The CA's names in CAA records, where this provisioner looks at them, or any does; else none."""
    looking = [one for one in settings.provisioners if one.caa and provisioner in {"", one.name}]
    own = tuple(one.value for one in config.dns_names if one.type is IdentifierType.DNS)
    return tuple(dict.fromkeys(name for one in looking for name in one.caa_identities or own))


async def dry_run_caa(
    config: Config, identifier: Identifier, names: tuple[str, ...], kinds: Sequence[str], *, account_url: str = ""
) -> DryRun:
    """What CAA says to one of these challenge types; reached is that the name servers answer and do not forbid."""
    problem = detail = ""
    urls = (account_url,) if account_url else ()
    with recorded() as hops:
        try:
            records = await CaaClimber(resolver_of(config)).relevant(identifier.value.removeprefix("*."))
        except ValidationFailed as failure:
            problem, detail = failure.problem.type, failure.problem.detail
        else:
            asked = [Issuance(names, urls, kind, identifier.is_wildcard) for kind in kinds]
            reasons = [forbidden_by(records, one) for one in asked]
            if "" not in reasons:
                problem, detail = "caa", f"CAA of {identifier.value}: {reasons[0]}"
    return DryRun("caa", not problem, problem, detail, tuple(hops), ())


async def dry_run(
    config: Config, identifier: Identifier, kinds: Sequence[str], *, account_url: str = ""
) -> tuple[DryRun, ...]:
    """One look for each of these challenge types that can prove the name; UsageError where none can."""
    validators = validators_of(config)
    fitting = [kind for kind in kinds if kind in validators and _fits(validators[kind].spec, identifier)]
    if not fitting:
        what = "a wildcard" if identifier.is_wildcard else f"an identifier of type {identifier.type}"
        raise UsageError(f"none of {', '.join(kinds)} can prove {what}", hint="name another one: --type")
    return tuple([await _run(config, validators[kind], identifier, account_url=account_url) for kind in fitting])


def _fits(spec: ValidatorSpec, identifier: Identifier) -> bool:
    return identifier.type in spec.identifier_types and (spec.wildcards or not identifier.is_wildcard)


async def _run(config: Config, validator: Validator, identifier: Identifier, *, account_url: str) -> DryRun:
    token = secrets.token_urlsafe(24)
    target = ValidationTarget(
        replace(identifier, value=identifier.value.removeprefix("*.")),
        token,
        f"{token}.dry-run",
        account_urls=(account_url,) if account_url else (),
        issuers=tuple(one.value for one in config.dns_names),
        wildcard=identifier.is_wildcard,
    )
    problem = detail = ""
    with recorded() as hops:
        try:
            await look(validator, target)
        except ValidationFailed as failure:
            problem, detail = failure.problem.type, failure.problem.detail
    dials = any(one.step is Step.JUDGE for one in hops) or validator.spec.type in {"http-01", "tls-alpn-01"}
    signs = {Step.ANSWER} if dials else {Step.ANSWER, Step.LOOK_UP}
    reached = not problem or any(one.step in signs and (one.passed or dials) for one in hops)
    refused = any(one.step is Step.JUDGE and not one.passed for one in hops)
    opened = _opened(config.validation.allow, hops) if refused else ()
    return DryRun(validator.spec.type, reached and not refused, problem, detail, tuple(hops), opened)


def _opened(allow: tuple[Network, ...], hops: Sequence[Hop]) -> tuple[str, ...]:
    """The networks of `allow` as it would have to be; none where a refused address cannot be opened."""
    refused = [one for one in hops if one.step is Step.JUDGE and not one.passed]
    if not all(one.opens_with for one in refused):
        return ()
    networks = dict.fromkeys((*map(str, allow), *(str(ip_network(one.opens_with)) for one in refused)))
    return tuple(networks)
