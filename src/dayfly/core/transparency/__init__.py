"""The append-only log as arithmetic and text: hashes and proofs, entries, checkpoints, and the check of it all."""
