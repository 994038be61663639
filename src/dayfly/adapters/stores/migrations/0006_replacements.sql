-- Which certificates an order has replaced (RFC 9773 5), and how often a certificate's row was changed after it was made:
-- what a process keeps in memory of certificates is as the rows are, as long as that number is the same.

CREATE INDEX replacements ON certificates (parent_id) WHERE parent_id IS NOT NULL AND order_id IS NOT NULL;

CREATE TABLE certificate_changes (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    count INTEGER NOT NULL
) STRICT;
INSERT INTO certificate_changes VALUES (1, 0);
