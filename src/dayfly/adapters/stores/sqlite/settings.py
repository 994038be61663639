"""The settings documents as SQLite has them.

Rules: a revision is parsed once.
"""

from __future__ import annotations

from dayfly.adapters.stores.sqlite.reader import Reader
from dayfly.adapters.stores.sqlite.recent import RecentRows
from dayfly.core.settings.documents import parse_document
from dayfly.core.settings.revisions import Settings, make_settings


class SettingsTable:
    """Provisioners, rules and owners of the newest revision, parsed once."""

    def __init__(self, reader: Reader, recent: RecentRows) -> None:
        """Nothing is read yet."""
        self._reader = reader
        self._recent = recent
        self._settings = Settings()

    async def settings(self) -> Settings:
        """The settings of the newest committed revision."""
        known = self._recent.settings()
        if known is not None:
            return known
        row = self._reader.one("SELECT revision FROM settings_revision")
        revision = 0 if row is None else row[0]
        if revision != self._settings.revision:
            self._settings = self._load()
        self._recent.keep_settings(self._settings)
        return self._settings

    def _load(self) -> Settings:
        """All documents and their revision, as of one moment; a revision without any document has one empty row."""
        statement = "SELECT revision, kind, name, body FROM settings_revision LEFT JOIN settings ORDER BY kind, name"
        found = self._reader.all(statement)
        documents = tuple(parse_document(kind, body) for _, kind, _, body in found if kind is not None)
        return make_settings(found[0][0] if found else 0, documents)
