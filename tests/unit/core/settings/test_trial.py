"""`policy test` answers as the CA would (agent.md 19)."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_address
from typing import Any

import pytest

from dayfly.core.events import Reason
from dayfly.core.frozen import replace
from dayfly.core.identifiers import parse_name
from dayfly.core.policy.rules import Rule, RuleKind
from dayfly.core.problems import Malformed
from dayfly.core.settings.provisioners import Provisioner, ProvisionerType
from dayfly.core.settings.revisions import Settings
from dayfly.core.settings.trial import Trial, Verdict, judge
from dayfly.core.x509.constraints import NameConstraints
from dayfly.errors import ConfigError
from factories import NAME, NOW, settings

END = NOW + timedelta(days=365)


def ask(*names: str, here: Settings | None = None, constraints: Any = (), **trial: Any) -> tuple[Verdict, ...]:
    """The answers for names."""
    asked = Trial(tuple(map(parse_name, names)), **trial)
    return judge(here or settings(), asked, constraints=constraints, issuer_not_after=END, now=NOW)


def test_every_name_has_an_answer_of_its_own() -> None:
    """An allowed name says by which pattern, rule and owner; a denied one why, and what is nearest."""
    good, address, bad = ask(NAME, "10.0.3.7", "shop.corp")
    assert good == Verdict("name", NAME, Reason.OK, "allowed by **.internal.example", "r2", "platform-team")
    assert (address.what, address.allowed, address.rule) == ("ip", True, "r3")
    assert (bad.allowed, bad.reason, bad.rule) == (False, Reason.NAME_NOT_ALLOWED, "default-deny")
    assert (bad.why, bad.nearest) == ("no rule allows it", "shop.internal.example")


def test_scope_and_source_decide_as_in_a_request() -> None:
    """A rule for one provisioner and network is met only so."""
    scoped = Rule("r9", RuleKind.DNS, "shop.corp", "platform-team", provisioner="acme", sources=("10.0.0.0/8",))
    here = settings(scoped)
    near = ip_address("10.1.2.3")
    assert [one.allowed for one in ask("shop.corp", here=here, provisioner="acme", source=near)] == [True]
    assert [one.reason for one in ask("shop.corp", here=here, provisioner="acme")] == [Reason.SOURCE_NOT_ALLOWED]
    assert [one.allowed for one in ask("shop.corp", here=here, source=near)] == [False]


def test_another_owner_is_a_no() -> None:
    """The certificate would belong to the rule's owner."""
    (answer,) = ask(NAME, owner="web-team")
    assert (answer.allowed, answer.owner) == (False, "platform-team")
    assert answer.why == "rule r2 gives it to platform-team, not to web-team"
    assert ask(NAME, owner="platform-team")[0].allowed


def test_the_issuers_constraints_decide_over_the_rules() -> None:
    """What the intermediate cannot vouch for is a no, whatever the rules say."""
    (answer,) = ask(NAME, constraints=[NameConstraints(permitted_dns=("corp",))])
    assert (answer.allowed, answer.rule) == (False, "issuer-constraints")
    assert ask(NAME, constraints=[NameConstraints(permitted_dns=("internal.example",))])[0].allowed


@pytest.mark.parametrize(
    ("hours", "reason"), [(24, Reason.OK), (48, Reason.LIFETIME_NOT_ALLOWED), (0.01, Reason.LIFETIME_NOT_ALLOWED)]
)
def test_a_lifetime_is_judged_by_the_provisioners_claims(hours: float, reason: Reason) -> None:
    """Above the longest and below the shortest are a no, to the second."""
    *_, answer = ask(NAME, provisioner="acme", lifetime=timedelta(hours=hours))
    assert (answer.what, answer.reason) == ("lifetime", reason)
    assert answer.subject == ("24h0m0s" if hours == 24 else "48h0m0s" if hours == 48 else "36s")


def test_a_disabled_provisioner_gives_nothing() -> None:
    """All names are a no, and say why."""
    acme = Provisioner("off", ProvisionerType.ACME, enabled=False)
    (answer,) = ask(NAME, here=settings(acme), provisioner="off")
    assert (answer.reason, answer.why) == (Reason.ACCOUNT_DISABLED, "provisioner off is disabled")


def test_a_question_that_cannot_be_answered_is_an_error() -> None:
    """A provisioner that is not there; a lifetime without one."""
    with pytest.raises(ConfigError, match="no provisioner named nobody"):
        ask(NAME, provisioner="nobody")
    with pytest.raises(ConfigError, match="none is named"):
        ask(NAME, lifetime=timedelta(hours=1))


def test_a_name_is_read_as_a_person_writes_it() -> None:
    """An address or a DNS name."""
    assert [parse_name(one).type for one in ("a.b", "*.a.b", "10.0.0.1", "fd00::1")] == ["dns", "dns", "ip", "ip"]
    with pytest.raises(Malformed):
        parse_name("a..b")


def test_settings_are_not_touched() -> None:
    """A question changes nothing."""
    here = settings()
    ask("shop.corp", here=here)
    assert here == replace(settings())
