-- Authorizations that may serve several orders of their account (decision 0014). Only provisioners that let clients
-- authorize names beforehand, or use an authorization again, have any; all others are inside their order's row.

CREATE TABLE authorizations (
    id INTEGER PRIMARY KEY,
    account_id INTEGER NOT NULL,
    identifier TEXT NOT NULL,
    status TEXT NOT NULL,
    expires INTEGER NOT NULL,
    version INTEGER NOT NULL,
    document BLOB NOT NULL
) STRICT;

CREATE INDEX live_authorizations ON authorizations (account_id, identifier, id) WHERE status IN ('pending', 'valid');

CREATE INDEX authorizations_by_end ON authorizations (expires);
