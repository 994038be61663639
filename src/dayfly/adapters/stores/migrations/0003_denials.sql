-- Names that policy refused, each once however often it was asked for, so that an admin can allow exactly that.

CREATE TABLE denials (
    id TEXT PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    last_at INTEGER NOT NULL,
    document BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX denials_by_time ON denials (last_at);
