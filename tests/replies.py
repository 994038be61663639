"""An answer as a test looks at it, whichever way it came."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Reply:
    """Status, headers by lower-case name, body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        """The body as an object."""
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def problem(self) -> str:
        """The problem's type without its prefix."""
        return str(self.json.get("type", "")).rpartition(":")[2]
