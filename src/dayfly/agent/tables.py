"""A TOML table that knows its path, and what was read of it.

Rules: every value is taken by its type, and `bool` is no number; `only` refuses what no such table has before anything
else is found wrong, `end` what nobody asked for, so that a misspelt key is an error and never a default.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path

from dayfly.core.policy.lifetimes import parse_duration
from dayfly.errors import ConfigError

_ADDRESS = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]*)):([0-9]{1,5})")


def read_text_file(path: Path, *, limit: int) -> str:
    """The text of a file of at most `limit` octets; ConfigError names the file."""
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        hint = "name the file with --config; docs/reference/agent-toml.md says what stands in it"
        raise ConfigError(str(path), f"cannot be read: {error.strerror}", hint=hint) from error
    if len(data) > limit:
        raise ConfigError(str(path), f"is larger than {limit} octets")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), "is not UTF-8") from error


class Table:
    """One table of the file; `path` is its place, as `cert.api`."""

    def __init__(self, path: str, data: object) -> None:
        """Hold `data`; ConfigError unless it is a table."""
        if not isinstance(data, dict):
            raise ConfigError(path, "expected a table")
        self.path = path
        self._data: dict[str, object] = data
        self._seen: set[str] = set()

    def __contains__(self, key: str) -> bool:
        """Is the key there?"""
        return key in self._data

    def place(self, key: str) -> str:
        """The path of `key`."""
        return f"{self.path}.{key}" if self.path else key

    def wrong(self, key: str, problem: str) -> ConfigError:
        """The error to raise for `key`."""
        return ConfigError(self.place(key), problem)

    def only(self, *keys: str) -> Table:
        """This table; ConfigError for the first key that is none of these."""
        for key in self._data:
            if key not in keys:
                raise ConfigError(self.place(key), "unknown key", hint=f"the keys here are {', '.join(keys)}")
        return self

    def end(self) -> None:
        """ConfigError for the first key that nothing has asked for."""
        for key in self._data:
            if key not in self._seen:
                raise ConfigError(self.place(key), "unknown key", hint="see the reference of agent.toml for its keys")

    def table(self, key: str, *, optional: bool = False) -> Table:
        """The table at `key`; an empty one where it is `optional` and missing."""
        return Table(self.place(key), self._take(key, {} if optional else None))

    def tables(self, key: str) -> dict[str, Table]:
        """The tables inside the table at `key`, by their names; none where it is missing."""
        outer = self.table(key, optional=True)
        return {name: Table(outer.place(name), data) for name, data in outer._data.items()}  # noqa: SLF001 - a Table too

    def entries(self, key: str) -> tuple[Table, ...]:
        """A list of targets: a text stands for `{addr = text}`."""
        value = self._take(key, [])
        if not isinstance(value, list):
            raise self.wrong(key, "expected a list")
        return tuple(
            Table(self.place(f"{key}[{index}]"), {"addr": entry} if isinstance(entry, str) else entry)
            for index, entry in enumerate(value)
        )

    def text(self, key: str, *, default: str | None = None) -> str:
        """The text at `key`."""
        value = self._take(key, default)
        if not isinstance(value, str) or not value.isprintable() or (not value and default is None):
            raise self.wrong(key, "expected a text")
        return value

    def texts(self, key: str, *, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """The list of texts at `key`."""
        value = self._take(key, None if default is None else list(default))
        if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
            raise self.wrong(key, "expected a list of texts")
        return tuple(value)

    def choice(self, key: str, words: tuple[str, ...], *, default: str | None = None) -> str:
        """The text at `key`, which is one of `words`."""
        value = self.text(key, default=default)
        if value not in words:
            raise self.wrong(key, f"expected one of {', '.join(words)}, not {value!r}")
        return value

    def number(self, key: str, *, default: int, least: int, most: int) -> int:
        """The whole number at `key`, within its bounds."""
        value = self._take(key, default)
        if type(value) is not int or not least <= value <= most:
            raise self.wrong(key, f"expected a whole number from {least} to {most}")
        return value

    def seconds(self, key: str, *, default: int, least: int, most: int) -> int:
        """The duration at `key` in seconds, within its bounds (`60s`, `24h`)."""
        if key not in self._data:
            return default
        text = self.text(key)
        try:
            seconds = int(parse_duration(text).total_seconds())
        except ValueError as error:
            raise self.wrong(key, f"expected a duration such as 60s or 24h, not {text!r}") from error
        if not least <= seconds <= most:
            raise self.wrong(key, f"expected a duration from {least}s to {most}s, not {text!r}")
        return seconds

    def address(self, key: str, text: str) -> tuple[str, int]:
        """Host and port of `text`: `127.0.0.1:8443`, `[::1]:443`, `:80`."""
        match = _ADDRESS.fullmatch(text)
        if match is None or not 0 < int(match[3]) < 1 << 16:
            raise self.wrong(key, f"expected an address such as 127.0.0.1:8443, not {text!r}")
        return match[1] or match[2], int(match[3])

    @staticmethod
    def is_ip(text: str) -> bool:
        """Is it an IP address?"""
        try:
            ipaddress.ip_address(text)
        except ValueError:
            return False
        return True

    def _take(self, key: str, default: object) -> object:
        self._seen.add(key)
        value = self._data.get(key, default)
        if value is None:
            raise self.wrong(key, "is missing")
        return value
