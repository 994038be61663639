"""Replacement of frozen values: the same as the standard library gives, for what it takes."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import pytest

from dayfly.core.frozen import replace
from factories import account, authorization, certificate, challenge, order


@pytest.mark.parametrize("value", [account(), authorization(), certificate(), challenge(), order()])
def test_replacement_is_that_of_the_standard_library(value: object) -> None:
    """Each field changed by itself, with a value of its own, gives what `dataclasses.replace` gives."""
    for field in dataclasses.fields(value):  # type: ignore[arg-type]  # all of them are dataclasses
        changes = {field.name: "another"}
        mine = replace(value, **changes)  # type: ignore[type-var]  # the same
        assert mine == dataclasses.replace(value, **changes)  # type: ignore[type-var]  # the same
        assert hash(mine) == hash(dataclasses.replace(value, **changes))  # type: ignore[type-var]  # the same


def test_value_itself_stays_as_it_is() -> None:
    """A replacement is another value, frozen like the first."""
    first = order()
    second = replace(first, version=7)
    assert (first.version, second.version) == (0, 7)
    with pytest.raises(dataclasses.FrozenInstanceError):
        second.version = 8  # type: ignore[misc]  # that is the test


def test_name_that_is_no_field_is_refused() -> None:
    """A typing error does not pass as a change."""
    with pytest.raises(AttributeError):
        replace(order(), versoin=7)


@dataclass(frozen=True)
class _Open:
    one: int = 1
    two: int = 2


@dataclass(frozen=True, slots=True)
class _Checked:
    one: int = 1
    two: int = 2

    def __post_init__(self) -> None:
        """Check something."""


@dataclass(frozen=True, slots=True)
class _Single:
    one: int = 1


@pytest.mark.parametrize("value", [_Open(), _Checked(), _Single()])
def test_value_that_cannot_be_copied_by_slots_is_refused(value: _Open | _Checked | _Single) -> None:
    """What checks itself when made, or has no slots, is not copied past its checks."""
    with pytest.raises(TypeError, match="no plain dataclass"):
        replace(value, one=2)
