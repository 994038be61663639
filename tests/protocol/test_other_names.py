"""E-mail addresses, URIs and plain common names by POST /sign and /renew (step-compat.md 10; security.md T14, T16)."""

from __future__ import annotations

from cryptography import x509

from acme_peer import Client
from dayfly.core.identifiers import Identifier, IdentifierType
from dayfly.core.policy.denials import smallest_rule_for
from dayfly.core.policy.index import compile_rules
from dayfly.core.policy.rules import Rule, RuleAction, RuleKind
from factories import NAME, ec_key
from step_peer import OWNER, Play, StepClient, cn_of, leaf_of, named_csr, names_of, put, refused

MAIL, SPIFFE, ROBOT = "ops@internal.example", "spiffe://mesh.internal.example/ns/x", "Build robot"
RULES = (
    Rule("e1", RuleKind.EMAIL, "@internal.example", OWNER),
    Rule("u1", RuleKind.URI, "**.internal.example", OWNER),
    Rule("c1", RuleKind.CN, ROBOT, OWNER),
)


def test_names_of_other_types_are_had_by_rules_alone__t16(play: Play) -> None:
    """Denied with an id for each; the smallest rules of the ids give exactly them."""

    async def scenario(client: StepClient) -> None:
        token = client.token(sub=ROBOT, sans=[MAIL, SPIFFE])
        refused(await client.sign(token, named_csr()), 403, MAIL, SPIFFE, ROBOT)
        denials = await client.peer.store.denials.newest(limit=9)
        none = compile_rules(())
        rules = [smallest_rule_for(one, none, rule_id=f"s{at}", owner=OWNER) for at, one in enumerate(denials)]
        assert {one.pattern for one in rules} == {MAIL, "mesh.internal.example", ROBOT}
        await put(client.peer, *rules)
        reply = await client.sign(client.token(sub=ROBOT, sans=[MAIL, SPIFFE]), named_csr())
        assert reply.status == 201, reply.body

    play(scenario)


def test_names_of_other_types_stand_in_the_certificate_and_renew_by_the_rules_of_today__n9(play: Play) -> None:
    """As rfc822Name and URI; the row has them; a rule that denies bites at the next renewal."""

    async def scenario(client: StepClient) -> None:
        await put(client.peer, *RULES)
        key = ec_key()
        held = await client.issued(key, sub=ROBOT, sans=[MAIL, SPIFFE])
        found = held.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert found.get_values_for_type(x509.RFC822Name) == [MAIL]
        assert found.get_values_for_type(x509.UniformResourceIdentifier) == [SPIFFE]
        assert cn_of(held.certificate) == ROBOT
        (row,) = await client.peer.store.certificates.certificates(after=0, limit=9)
        assert row.names == (Identifier(IdentifierType.EMAIL, MAIL), Identifier(IdentifierType.URI, SPIFFE))
        renewed = leaf_of(await held.renew())
        assert (names_of(renewed), cn_of(renewed)) == ({MAIL, SPIFFE}, ROBOT)
        await put(client.peer, Rule("c9", RuleKind.CN, ROBOT, OWNER, RuleAction.DENY))
        refused(await held.renew(), 403, f"rule c9 of {OWNER} denies it")

    play(scenario)


def test_an_acme_csr_with_names_of_other_types_is_refused__acme_f13(play: Play) -> None:
    """An order has DNS names and addresses alone, so no such name is the order's, whatever rules there are."""

    async def scenario(client: StepClient) -> None:
        await put(client.peer, *RULES)
        acme = Client(client.peer)
        await acme.register()
        order = await acme.ready()
        more: tuple[x509.GeneralName, ...] = (x509.RFC822Name(MAIL), x509.UniformResourceIdentifier(SPIFFE))
        requests = [named_csr(x509.DNSName(NAME), one) for one in more]
        for request in (*requests, named_csr(x509.DNSName(NAME), common_name=ROBOT)):
            reply = await acme.finalize(order, request)
            assert (reply.status, reply.json["type"].rpartition(":")[2]) == (400, "badCSR")

    play(scenario)
