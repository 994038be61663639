-- An account's orders in whatever status, newest first: which names it holds valid authorizations for (RFC 8555 7.6).
-- No update of an order touches it.

CREATE INDEX orders_of_account ON orders (account_id, id);
