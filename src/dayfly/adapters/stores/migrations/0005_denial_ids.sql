-- Whose share of the denials each one is in; and the ids of those that went, which are nobody else's for a day.

ALTER TABLE denials ADD COLUMN first_by TEXT NOT NULL DEFAULT '';

CREATE INDEX denials_by_asker ON denials (first_by, last_at);

CREATE TABLE gone_denials (
    id TEXT PRIMARY KEY,
    key_digest BLOB NOT NULL,
    first_by TEXT NOT NULL,
    gone_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX gone_denials_by_time ON gone_denials (gone_at);
CREATE INDEX gone_denials_by_asker ON gone_denials (first_by, gone_at);
