"""Would a request be allowed? The engine's own answer, without a request (agent.md 19).

Rules: what decides here decides there: the same rules, lifetimes and constraints of the issuing certificate; every name
is answered, not only the first that fails.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv6Address

from dayfly.core.events import Reason
from dayfly.core.identifiers import Identifier, IdentifierType
from dayfly.core.policy.decisions import DEFAULT_DENY, ISSUER_CONSTRAINTS, Allowed
from dayfly.core.policy.lifetimes import SECOND, plan_validity, render_duration
from dayfly.core.policy.names import decide
from dayfly.core.problems import Refused
from dayfly.core.settings.provisioners import Provisioner
from dayfly.core.settings.revisions import Settings
from dayfly.core.x509.constraints import NameConstraints, is_permitted
from dayfly.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Trial:
    """What is asked: for which names, through which provisioner ("" for rules of the authority), by whom, how long."""

    names: tuple[Identifier, ...]
    provisioner: str = ""
    owner: str = ""
    source: IPv4Address | IPv6Address | None = None
    lifetime: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """One answer: `what` is name, ip, email, uri, cn or lifetime.

    `reason` is a word of core/events.Reason, `ok` where it is allowed.
    """

    what: str
    subject: str
    reason: Reason
    why: str
    rule: str = ""
    owner: str = ""
    nearest: str = ""

    @property
    def allowed(self) -> bool:
        """Is it allowed?"""
        return self.reason is Reason.OK


def judge(
    settings: Settings,
    trial: Trial,
    *,
    constraints: Sequence[NameConstraints],
    issuer_not_after: datetime,
    now: datetime,
) -> tuple[Verdict, ...]:
    """An answer for each name, and for the lifetime where one is asked for; ConfigError for the provisioner."""
    provisioner = _provisioner(settings, trial)
    answers = [_judge_name(settings, trial, one, constraints) for one in trial.names]
    if provisioner is not None and not provisioner.enabled:
        why = f"provisioner {provisioner.name} is disabled"
        answers = [Verdict(one.what, one.subject, Reason.ACCOUNT_DISABLED, why) for one in answers]
    if trial.lifetime is not None and provisioner is not None:
        answers.append(_judge_lifetime(provisioner, trial.lifetime, issuer_not_after, now))
    return tuple(answers)


def _provisioner(settings: Settings, trial: Trial) -> Provisioner | None:
    if not trial.provisioner:
        if trial.lifetime is not None:
            raise ConfigError("", "lifetimes are the provisioner's, and none is named", hint="add --provisioner NAME")
        return None
    found = settings.find_provisioner(trial.provisioner)
    if found is None:
        raise ConfigError(
            "", f"there is no provisioner named {trial.provisioner}", hint="list them: dayfly ca provisioner list"
        )
    return found


def _judge_name(
    settings: Settings, trial: Trial, identifier: Identifier, constraints: Sequence[NameConstraints]
) -> Verdict:
    what = "name" if identifier.type is IdentifierType.DNS else str(identifier.type)
    found = decide(settings.name_rules, identifier, provisioner=trial.provisioner, source=trial.source)
    if not isinstance(found, Allowed):
        denial = found.denial
        return Verdict(what, identifier.value, found.reason, found.why, denial.rule, denial.owner, denial.nearest)
    if not all(is_permitted(one, identifier) for one in constraints):
        why = "the issuing certificate is constrained to other names"
        return Verdict(what, identifier.value, Reason.NAME_NOT_ALLOWED, why, ISSUER_CONSTRAINTS)
    if trial.owner and found.owner != trial.owner:
        why = f"rule {found.rule} gives it to {found.owner}, not to {trial.owner}"
        return Verdict(what, identifier.value, Reason.NAME_NOT_ALLOWED, why, DEFAULT_DENY, found.owner)
    pattern = next(one.pattern for one in settings.rules if one.id == found.rule)
    return Verdict(what, identifier.value, Reason.OK, f"allowed by {pattern}", found.rule, found.owner)


def _judge_lifetime(
    provisioner: Provisioner, lifetime: timedelta, issuer_not_after: datetime, now: datetime
) -> Verdict:
    asked = render_duration(lifetime)
    begin = now.replace(microsecond=0)
    try:
        plan_validity(
            now,
            lifetimes=provisioner.claims.lifetimes,
            issuer_not_after=issuer_not_after,
            requested_not_after=begin + lifetime - SECOND,
        )
    except Refused as error:
        return Verdict("lifetime", asked, Reason.LIFETIME_NOT_ALLOWED, error.detail)
    return Verdict("lifetime", asked, Reason.OK, f"within what {provisioner.name} gives")
