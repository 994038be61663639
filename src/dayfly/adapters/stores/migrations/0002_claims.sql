-- What may be used once (tokens), by the digest that tells it, until it could not be used any more anyway;
-- and the certificate that a renewed one comes from.

CREATE TABLE claims (
    digest BLOB NOT NULL UNIQUE,
    expires INTEGER NOT NULL
) STRICT;

CREATE INDEX claims_by_expiry ON claims (expires);

ALTER TABLE certificates ADD COLUMN parent_id INTEGER;
