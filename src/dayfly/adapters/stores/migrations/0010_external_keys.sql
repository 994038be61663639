-- Keys that bind ACME accounts to somebody known outside of ACME. The secret is a column of its own, so that nothing
-- that shows a key's document can show it; the scope is read as strictly as it is written.

CREATE TABLE external_keys (
    id INTEGER PRIMARY KEY,
    kid TEXT NOT NULL UNIQUE,
    provisioner TEXT NOT NULL,
    version INTEGER NOT NULL,
    secret BLOB NOT NULL,
    scope BLOB NOT NULL,
    document BLOB NOT NULL
) STRICT;
