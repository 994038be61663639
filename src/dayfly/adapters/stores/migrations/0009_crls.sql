-- The newest CRL of each partition; and indexes of what outlives seven days, for which short leaves cost nothing.
-- A partition is a day, so they are few; both ends of a validity are inside, so 604800 seconds between them are too long.

CREATE TABLE crls (
    partition INTEGER PRIMARY KEY,
    number INTEGER NOT NULL,
    this_update INTEGER NOT NULL,
    next_update INTEGER NOT NULL,
    entries INTEGER NOT NULL,
    digest BLOB NOT NULL,
    der BLOB NOT NULL
) STRICT;

CREATE INDEX long_certificates ON certificates (id) WHERE not_after - not_before >= 604800;
CREATE INDEX revoked_long_certificates ON certificates (not_after)
    WHERE revoked_at IS NOT NULL AND not_after - not_before >= 604800;
