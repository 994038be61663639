"""A client's host, and an agent's."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dayfly.core.doctor.catalogue import Level
from dayfly.core.doctor.client import AgentFacts, CertificateFact, ClientFacts, judge_agent, judge_client
from dayfly.core.frozen import replace
from factories import NOW

CERTIFICATE = CertificateFact("web", "served", "", 0.6)
AGENT = AgentFacts(heard=NOW - timedelta(minutes=4), certificates=(CERTIFICATE,))
P, W = Level.PROBLEM, Level.WARNING


@pytest.mark.parametrize(
    ("facts", "found"),
    [
        (ClientFacts(ca_url="https://ca"), []),
        (ClientFacts(root_trouble="the root is missing"), [("DF4301", P)]),
        (ClientFacts(ca_trouble="did not answer", ca_url="https://ca"), [("DF4302", P)]),
        (ClientFacts(ca_trouble="did not answer", ca_hint="is it running?"), [("DF4302", P)]),
    ],
)
def test_client_is_judged_by_root_and_ca(facts: ClientFacts, found: list[tuple[str, Level]]) -> None:
    """Under a wrong root the CA is not even asked."""
    judged = judge_client(facts)
    assert [(one.code, one.level) for one in judged if one.level is not Level.OK] == found
    assert all(one.next_step for one in judged if one.level is not Level.OK)


def test_what_to_run_names_the_home_that_was_looked_at() -> None:
    """A command copied as it stands works on the same agent."""
    facts = replace(AGENT, certificates=(replace(CERTIFICATE, left=0.1),), flags=" --home /srv/agent --config /a.toml")
    steps = [one.next_step for one in judge_agent(facts, now=NOW) if one.level is not Level.OK]
    assert steps == ["dayfly agent run --once --home /srv/agent --config /a.toml"]


@pytest.mark.parametrize(
    ("facts", "found"),
    [
        (AGENT, []),
        (AgentFacts(trouble="wibble: unknown key"), [("DF4303", P)]),
        (replace(AGENT, heard=NOW - timedelta(minutes=16)), [("DF4304", W)]),
        (replace(AGENT, heard=None), [("DF4304", W)]),
        (replace(AGENT, certificates=(replace(CERTIFICATE, left=0.19),)), [("DF4305", P)]),
        (replace(AGENT, certificates=(replace(CERTIFICATE, left=0.0),)), [("DF4305", P)]),
        (replace(AGENT, certificates=(replace(CERTIFICATE, state="stuck", reason="key"),)), [("DF4306", P)]),
        (replace(AGENT, certificates=(replace(CERTIFICATE, state="degraded"),)), [("DF4306", W)]),
    ],
)
def test_agent_is_judged_by_its_word_and_its_certificates(facts: AgentFacts, found: list[tuple[str, Level]]) -> None:
    """Configuration, loop, life that is left, states that want a person."""
    judged = judge_agent(facts, now=NOW)
    assert [(one.code, one.level) for one in judged if one.level is not Level.OK] == found
    assert all(one.next_step for one in judged if one.level is not Level.OK)
