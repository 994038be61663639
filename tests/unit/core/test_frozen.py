"""Replacement of frozen values: one function for structs and dataclasses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from dayfly.core.frozen import replace
from factories import account, authorization, certificate, challenge, order


@dataclass(frozen=True, slots=True)
class _Checked:
    """A dataclass that looks at itself when it is made."""

    one: int = 1
    two: int = 2

    def __post_init__(self) -> None:
        if self.one < 1:
            raise ValueError("one is below one")


@pytest.mark.parametrize("value", [account(), authorization(), certificate(), challenge(), order()])
def test_replacement_differs_in_what_was_named_alone(value: msgspec.Struct) -> None:
    """Each field changed by itself leaves all others, and the value itself, as they were."""
    names = value.__struct_fields__
    before: dict[str, Any] = msgspec.structs.asdict(value)
    for name in names:
        after = msgspec.structs.asdict(replace(value, **{name: "another"}))
        assert after == before | {name: "another"}
    assert msgspec.structs.asdict(value) == before


def test_dataclass_is_replaced_and_looks_at_itself() -> None:
    """Its own checks hold for what it becomes."""
    assert replace(_Checked(), two=3) == _Checked(1, 3)
    with pytest.raises(ValueError, match="below one"):
        replace(_Checked(), one=0)


def test_value_itself_is_frozen() -> None:
    """Nobody changes a value that others hold."""
    first = order()
    with pytest.raises(AttributeError):
        first.version = 8  # type: ignore[misc]  # that is the test


@pytest.mark.parametrize("value", [order(), _Checked()])
def test_name_that_is_no_field_is_refused(value: Any) -> None:
    """A typing error does not pass as a change."""
    with pytest.raises(TypeError):
        replace(value, versoin=7)
