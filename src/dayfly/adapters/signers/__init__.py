"""Signers: the issuing key, and the log's own."""
