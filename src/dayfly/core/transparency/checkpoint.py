"""Checkpoints: the log's size and root hash, signed as a note (C2SP tlog-checkpoint and signed-note).

Rules: a note's text counts only after its signature was verified with a key that was known before; signatures of
unknown keys are passed over, one of the known key that fails refuses the note; the log's origin is its key's name;
everything has exactly one spelling. Signing is an adapter's: it takes `note_body` and gives the 64 octets back.
"""

from __future__ import annotations

import re
from base64 import b64encode
from binascii import Error as Base64Error
from binascii import a2b_base64
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from dayfly.core.transparency.merkle import HASH_OCTETS
from dayfly.errors import DayflyError

MAX_NOTE_OCTETS = 128 * 1024  # sixteen post-quantum cosignatures of nearly 5 kB have to fit (signed-note)
MAX_SIGNATURES = 32
MAX_NAME_OCTETS = 255
KEY_ID_OCTETS = 4
KEY_OCTETS = 32
SIGNATURE_OCTETS = 64

_ED25519 = b"\x01"  # the signature type (signed-note)
_DASH = "\N{EM DASH}"
_BODY_LINES = 3
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
_KEY_ID = re.compile(r"[0-9a-f]{8}")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")


class NoteError(DayflyError):
    """A note, a checkpoint or a verifier key is not what it should be, or its signature does not hold."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log promises: that of `origin` has `size` entries, and this root hash (RFC 6962)."""

    origin: str
    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """The public half of a note key: its name, id and the 32 octets of the Ed25519 key."""

    name: str
    key_id: bytes
    public: bytes


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line of a note."""

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class UnverifiedNote:
    """A signed note as read: nothing in it may be believed yet."""

    body: bytes
    unverified_checkpoint: Checkpoint
    signatures: tuple[NoteSignature, ...]


# --- keys -------------------------------------------------------------------------------------------------------------


def note_key_id(name: str, public: bytes) -> bytes:
    """The four octets that name an Ed25519 key beside its name (signed-note)."""
    return sha256(name.encode() + b"\n" + _ED25519 + public).digest()[:KEY_ID_OCTETS]


def render_verifier_key(name: str, public: bytes) -> str:
    """The key in one line, `name+id+key`, for whoever wants to verify; NoteError for a name that a note cannot bear."""
    _check_name(name)
    return f"{name}+{note_key_id(name, public).hex()}+{b64encode(_ED25519 + public).decode()}"


def parse_verifier_key(line: str) -> VerifierKey:
    """The reverse of `render_verifier_key`; NoteError for another form, type, length or id."""
    name, _, rest = line.partition("+")
    key_id, _, encoded = rest.partition("+")
    _check_name(name)
    if _KEY_ID.fullmatch(key_id) is None:
        raise NoteError("a verifier key has the form name+id+key, with an id of eight lower-case hex digits")
    key = _decode(encoded, "the verifier key")
    if len(key) != 1 + KEY_OCTETS or key[:1] != _ED25519:
        raise NoteError("the verifier key is not an Ed25519 key")
    if note_key_id(name, key[1:]).hex() != key_id:
        raise NoteError("the verifier key's id does not belong to its name and key")
    return VerifierKey(name, bytes.fromhex(key_id), key[1:])


# --- writing ----------------------------------------------------------------------------------------------------------


def note_body(checkpoint: Checkpoint) -> bytes:
    """The text that is signed: origin, size and root hash, a line each (tlog-checkpoint)."""
    _check_name(checkpoint.origin)
    return f"{checkpoint.origin}\n{checkpoint.size}\n{b64encode(checkpoint.root).decode()}\n".encode()


def render_signed_note(checkpoint: Checkpoint, name: str, key_id: bytes, signature: bytes) -> str:
    """The checkpoint's text, an empty line, and the signature's line (signed-note)."""
    _check_name(name)
    return f"{note_body(checkpoint).decode()}\n{_DASH} {name} {b64encode(key_id + signature).decode()}\n"


# --- reading ----------------------------------------------------------------------------------------------------------


def open_note(text: str | bytes, key: VerifierKey) -> Checkpoint:
    """The checkpoint in a signed note, verified; NoteError.

    1. The note is read; lines and size are capped.
    2. The signatures by this key's name and id are verified: one at least, and each of them.
    3. Its origin must be the key's name, so that no log speaks for another.
    """
    note = parse_signed_note(text)
    ours = [one.signature for one in note.signatures if (one.name, one.key_id) == (key.name, key.key_id)]
    if not ours:
        raise NoteError("the note is not signed by the log's key")
    for signature in ours:
        _verify(signature, note.body, key)
    if note.unverified_checkpoint.origin != key.name:
        raise NoteError("the note speaks for a log that is not its key's")
    return note.unverified_checkpoint


def parse_signed_note(text: str | bytes) -> UnverifiedNote:
    """The parts of a signed checkpoint, unverified; NoteError for what is none, or is above a cap."""
    if len(text) > MAX_NOTE_OCTETS:
        raise NoteError(f"the note is longer than {MAX_NOTE_OCTETS} octets")
    readable = _text_of(text)
    if _CONTROL.search(readable) is not None:
        raise NoteError("the note has control characters")
    body, separator, tail = readable.rpartition("\n\n")
    if not separator or not tail.endswith("\n"):
        raise NoteError("the note has no signatures after an empty line")
    lines = tail[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise NoteError(f"the note has more than {MAX_SIGNATURES} signatures")
    checkpoint = _parse_body(body)
    return UnverifiedNote(f"{body}\n".encode(), checkpoint, tuple(_parse_signature(line) for line in lines))


def _text_of(text: str | bytes) -> str:
    try:
        return text.decode() if isinstance(text, bytes) else text.encode().decode()
    except UnicodeError:
        raise NoteError("the note is not UTF-8") from None


def _parse_body(body: str) -> Checkpoint:
    """The three lines of a checkpoint; ours have no extension lines, which nobody can audit (tlog-checkpoint)."""
    lines = body.split("\n")
    if len(lines) != _BODY_LINES:
        raise NoteError("a checkpoint is three lines: origin, size and root hash")
    origin, size, encoded = lines
    _check_name(origin)
    if _SIZE.fullmatch(size) is None:
        raise NoteError("the checkpoint's size is not a decimal number")
    root = _decode(encoded, "the checkpoint's root hash")
    if len(root) != HASH_OCTETS:
        raise NoteError(f"the checkpoint's root hash is not {HASH_OCTETS} octets")
    return Checkpoint(origin, int(size), root)


def _parse_signature(line: str) -> NoteSignature:
    dash, _, rest = line.partition(" ")
    name, _, encoded = rest.partition(" ")
    if dash != _DASH:
        raise NoteError("a signature line begins with an em dash and a space")
    _check_name(name)
    octets = _decode(encoded, "a signature")
    if len(octets) <= KEY_ID_OCTETS:
        raise NoteError("a signature has no octets after its key id")
    return NoteSignature(name, octets[:KEY_ID_OCTETS], octets[KEY_ID_OCTETS:])


def _verify(signature: bytes, body: bytes, key: VerifierKey) -> None:
    if len(signature) != SIGNATURE_OCTETS:
        raise NoteError(f"the signature is not {SIGNATURE_OCTETS} octets")
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(signature, body)
    except InvalidSignature:
        raise NoteError("the note's signature does not hold") from None


def _check_name(name: str) -> None:
    """Raise NoteError for a name that is empty, long, or has a space, a plus or a control character (signed-note)."""
    long = len(name.encode(errors="replace")) > MAX_NAME_OCTETS
    if not name or long or "+" in name or _CONTROL.search(name) or any(one.isspace() for one in name):
        raise NoteError(
            f"a note key's name is 1 to {MAX_NAME_OCTETS} octets without spaces, plus or control characters"
        )


def _decode(text: str, what: str) -> bytes:
    """The octets of standard base64 in its one spelling (RFC 4648 4); the decoder is lenient, so we encode again."""
    try:
        data = a2b_base64(text.encode("ascii"))
    except (Base64Error, UnicodeEncodeError):
        raise NoteError(f"{what} is not base64") from None
    if b64encode(data).decode() != text:
        raise NoteError(f"{what} is not base64 in its one spelling")
    return data
