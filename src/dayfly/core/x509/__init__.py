"""X.509: requests, profiles, the lint, chains (RFC 5280)."""
