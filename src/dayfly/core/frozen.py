"""Frozen values, changed by replacement: msgspec structs where many are made, dataclasses elsewhere.

Rules: this is the one `replace`; the standard library's takes no struct, and a type checker does not see it.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Value = TypeVar("Value", bound="DataclassInstance | msgspec.Struct")


def replace(value: Value, /, **changes: Any) -> Value:  # noqa: ANN401 - the fields of any value
    """The value with these fields changed; TypeError for a name that is no field."""
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.replace(value, **changes)
    return dataclasses.replace(value, **changes)  # noqa: TID251 - this is the place
