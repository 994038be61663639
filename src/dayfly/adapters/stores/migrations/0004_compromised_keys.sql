-- Keys that get no certificate any more, by the SHA-256 (hex) of their SubjectPublicKeyInfo: one of a certificate that
-- was revoked for keyCompromise.

CREATE TABLE compromised_keys (
    spki_hash TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;
