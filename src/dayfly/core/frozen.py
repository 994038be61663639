"""Frozen values, changed by replacement.

Rules: a value with slots and without `__post_init__` is copied slot by slot, so whatever it was made with stands.

`dataclasses.replace` calls the constructor by keywords, and takes 7 us for an order; this takes 2. A certificate needs
twelve of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Value = TypeVar("Value", bound=DataclassInstance)

_set: Callable[[object, str, object], None] = object.__setattr__


def replace(value: Value, /, **changes: Any) -> Value:  # noqa: ANN401 - the fields of any dataclass
    """The value with these fields changed; AttributeError for a name that is no field."""
    kind = type(value)
    names, read = _fields(kind)
    changed: Value = object.__new__(kind)
    for name, held in zip(names, read(value), strict=True):
        _set(changed, name, held)
    for name, wanted in changes.items():
        _set(changed, name, wanted)
    return changed


@cache
def _fields(kind: type[Any]) -> tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]]:
    """The names of its fields and what reads them all; TypeError for a type that does more when it is made."""
    names = tuple(field.name for field in fields(kind))
    if hasattr(kind, "__post_init__") or "__slots__" not in kind.__dict__ or len(names) < 2:
        raise TypeError(f"{kind.__name__} is no plain dataclass with slots and several fields")
    return names, attrgetter(*names)
