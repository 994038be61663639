"""JSON Object Signing and Encryption, in a profile narrower than any library's (RFC 7515 to 7518, 7638)."""
