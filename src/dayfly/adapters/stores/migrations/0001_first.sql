-- The first schema. Ids are time-ordered (core/ids), so every insert goes to the right edge of its table.
-- What the hot path looks for by id needs no second index; the partial one holds open orders only.

CREATE TABLE accounts (
    id INTEGER PRIMARY KEY,
    provisioner TEXT NOT NULL,
    thumbprint TEXT NOT NULL,
    version INTEGER NOT NULL,
    document BLOB NOT NULL,
    UNIQUE (provisioner, thumbprint)
) STRICT;

CREATE TABLE orders (
    id INTEGER PRIMARY KEY,
    account_id INTEGER NOT NULL,
    status TEXT NOT NULL,
    version INTEGER NOT NULL,
    document BLOB NOT NULL
) STRICT;

CREATE INDEX open_orders ON orders (account_id, id) WHERE status IN ('pending', 'ready');

CREATE TABLE certificates (
    id INTEGER PRIMARY KEY,
    serial TEXT NOT NULL,
    issuer TEXT NOT NULL,
    not_before INTEGER NOT NULL,
    not_after INTEGER NOT NULL,
    provisioner TEXT NOT NULL,
    owner TEXT NOT NULL,
    rule TEXT NOT NULL,
    profile TEXT NOT NULL,
    profile_hash TEXT NOT NULL,
    account_id INTEGER,
    order_id INTEGER,
    revoked_at INTEGER,
    revocation_reason INTEGER,
    version INTEGER NOT NULL,
    names TEXT NOT NULL,
    der BLOB NOT NULL
) STRICT;

CREATE TABLE settings (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE settings_revision (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    revision INTEGER NOT NULL
) STRICT;
INSERT INTO settings_revision VALUES (1, 0);

CREATE TABLE log_entries (
    idx INTEGER PRIMARY KEY,
    leaf_hash BLOB NOT NULL,
    body BLOB NOT NULL
) STRICT;

CREATE TABLE log_groups (
    size INTEGER PRIMARY KEY,
    root BLOB NOT NULL
) STRICT;

CREATE TABLE log_head (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    size INTEGER NOT NULL,
    root BLOB NOT NULL,
    frontier BLOB NOT NULL
) STRICT;

CREATE TABLE log_checkpoints (
    size INTEGER PRIMARY KEY,
    note TEXT NOT NULL
) STRICT;
