"""The ACME server's words and decisions (RFC 8555)."""
