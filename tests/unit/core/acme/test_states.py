"""The state tables of RFC 8555 7.1.6: what is there, and that nothing else is."""

from __future__ import annotations

from itertools import product

import pytest

from dayfly.core.acme.objects import AuthorizationStatus, ChallengeStatus, OrderStatus
from dayfly.core.acme.states import (
    AUTHORIZATION,
    CHALLENGE,
    ORDER,
    AuthorizationEvent,
    ChallengeEvent,
    OrderEvent,
    advance_authorization,
    advance_challenge,
    advance_order,
)
from dayfly.errors import IllegalTransition


@pytest.mark.parametrize(("pair", "after"), CHALLENGE.items())
def test_challenge_takes_the_arrows_of_the_table__rfc8555_7_1_6(
    pair: tuple[ChallengeStatus, ChallengeEvent], after: ChallengeStatus
) -> None:
    """Each arrow leads where the table says."""
    assert advance_challenge(*pair) is after


@pytest.mark.parametrize("pair", sorted(set(product(ChallengeStatus, ChallengeEvent)) - set(CHALLENGE)))
def test_challenge_has_no_other_arrow__rfc8555_7_1_6(pair: tuple[ChallengeStatus, ChallengeEvent]) -> None:
    """A pair that is not in the table is a bug."""
    with pytest.raises(IllegalTransition):
        advance_challenge(*pair)


@pytest.mark.parametrize(("pair", "after"), AUTHORIZATION.items())
def test_authorization_takes_the_arrows_of_the_table__rfc8555_7_1_6(
    pair: tuple[AuthorizationStatus, AuthorizationEvent], after: AuthorizationStatus
) -> None:
    """Each arrow leads where the table says."""
    assert advance_authorization(*pair) is after


@pytest.mark.parametrize("pair", sorted(set(product(AuthorizationStatus, AuthorizationEvent)) - set(AUTHORIZATION)))
def test_authorization_has_no_other_arrow__rfc8555_7_1_6(
    pair: tuple[AuthorizationStatus, AuthorizationEvent],
) -> None:
    """A pair that is not in the table is a bug."""
    with pytest.raises(IllegalTransition):
        advance_authorization(*pair)


@pytest.mark.parametrize(("pair", "after"), ORDER.items())
def test_order_takes_the_arrows_of_the_table__rfc8555_7_1_6(
    pair: tuple[OrderStatus, OrderEvent], after: OrderStatus
) -> None:
    """Each arrow leads where the table says."""
    assert advance_order(*pair) is after


@pytest.mark.parametrize("pair", sorted(set(product(OrderStatus, OrderEvent)) - set(ORDER)))
def test_order_has_no_other_arrow__rfc8555_7_1_6(pair: tuple[OrderStatus, OrderEvent]) -> None:
    """A pair that is not in the table is a bug."""
    with pytest.raises(IllegalTransition):
        advance_order(*pair)
