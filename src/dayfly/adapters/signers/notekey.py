"""The log's own key: Ed25519, signs checkpoints as notes and nothing else."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from dayfly.adapters.keyfiles import load_key
from dayfly.core.transparency.checkpoint import (
    Checkpoint,
    note_body,
    note_key_id,
    render_signed_note,
    render_verifier_key,
)
from dayfly.errors import SignerError


class NoteKeySigner:
    """Signs the log's checkpoints."""

    def __init__(self, key: Ed25519PrivateKey, origin: str) -> None:
        """`origin` names the log in every checkpoint, and the key in every note."""
        self._key = key
        self._origin = origin
        self._key_id = note_key_id(origin, key.public_key().public_bytes_raw())

    @property
    def origin(self) -> str:
        """The log's origin line."""
        return self._origin

    async def sign_checkpoint(self, checkpoint: Checkpoint) -> str:
        """The checkpoint as a signed note."""
        signature = self._key.sign(note_body(checkpoint))
        return render_signed_note(checkpoint, self._origin, self._key_id, signature)


def verifier_key(key: Ed25519PrivateKey, origin: str) -> str:
    """The public half, as a verifier key line that anyone may hold."""
    return render_verifier_key(origin, key.public_key().public_bytes_raw())


def open_note_signer(key_file: Path, origin: str, *, password: bytes | None) -> NoteKeySigner:
    """The log's signer for its key file; ConfigError, SignerError."""
    key = load_key(key_file, password=password)
    if not isinstance(key, Ed25519PrivateKey):
        raise SignerError(f"{key_file} is not an Ed25519 key; the log's checkpoints are signed with one")
    return NoteKeySigner(key, origin)
