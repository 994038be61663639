"""Checkpoints as signed notes: published vectors, and everything that is refused."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from dayfly.core.transparency.checkpoint import (
    MAX_NOTE_OCTETS,
    MAX_SIGNATURES,
    Checkpoint,
    NoteError,
    VerifierKey,
    note_body,
    note_key_id,
    open_note,
    parse_signed_note,
    parse_verifier_key,
    render_signed_note,
    render_verifier_key,
)

VECTOR: dict[str, str] = json.loads((Path(__file__).parents[3] / "vectors" / "merkle" / "note.json").read_text("utf-8"))
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()
ORIGIN = "ca.internal.example/log"
KEY_LINE = render_verifier_key(ORIGIN, PUBLIC)
VERIFIER = parse_verifier_key(KEY_LINE)
CHECKPOINT = Checkpoint(ORIGIN, 42, bytes(range(32)))
ROOT = b64encode(CHECKPOINT.root).decode()


def signed(body: bytes, *, name: str = ORIGIN, key: Ed25519PrivateKey = KEY) -> str:
    """A note over any text."""
    octets = note_key_id(name, key.public_key().public_bytes_raw()) + key.sign(body)
    return f"{body.decode()}\n\N{EM DASH} {name} {b64encode(octets).decode()}\n"


NOTE = signed(note_body(CHECKPOINT))
LINE = NOTE.split("\n\n")[1]


def test_checkpoint_has_its_pinned_text__tlog_checkpoint() -> None:
    """Origin, size and root hash, a line each."""
    assert note_body(CHECKPOINT) == f"{ORIGIN}\n42\n{ROOT}\n".encode()


def test_verifier_key_is_the_published_one__signed_note() -> None:
    """Key id and key line are those of the reference implementation, and its signature verifies."""
    key = parse_verifier_key(VECTOR["verifier_key"])
    assert (key.name, key.key_id.hex()) == ("PeterNeumann", "c74f20a3")
    assert render_verifier_key(key.name, key.public) == VECTOR["verifier_key"]
    octets = b64decode(VECTOR["signature"])
    assert octets[:4] == note_key_id(key.name, key.public)
    Ed25519PublicKey.from_public_bytes(key.public).verify(octets[4:], VECTOR["text"].encode())


def test_signed_note_opens_with_its_key__signed_note() -> None:
    """What was signed is given back, from text and from octets."""
    signature = KEY.sign(note_body(CHECKPOINT))
    assert render_signed_note(CHECKPOINT, ORIGIN, VERIFIER.key_id, signature) == NOTE
    assert open_note(NOTE, VERIFIER) == CHECKPOINT
    assert open_note(NOTE.encode(), VERIFIER) == CHECKPOINT


def test_reading_alone_believes_nothing() -> None:
    """The parts of a note come under a name that says so."""
    note = parse_signed_note(NOTE)
    assert (note.body, note.unverified_checkpoint) == (note_body(CHECKPOINT), CHECKPOINT)
    assert [one.key_id for one in note.signatures] == [VERIFIER.key_id]


def test_the_empty_log_has_a_checkpoint__tlog_checkpoint() -> None:
    """Size 0 is written as one zero."""
    empty = Checkpoint(ORIGIN, 0, bytes(32))
    assert open_note(signed(note_body(empty)), VERIFIER) == empty


def test_signatures_of_unknown_keys_are_passed_over__signed_note() -> None:
    """A cosignature does not hinder, nor one that shares the name or the id only; sixteen of them are accepted."""
    same_name = f"\N{EM DASH} {ORIGIN} {b64encode(b'idid' + bytes(64)).decode()}\n"
    same_id = f"\N{EM DASH} witness.example {b64encode(VERIFIER.key_id + bytes(5_000)).decode()}\n"
    assert open_note(NOTE + same_name + same_id * 14, VERIFIER) == CHECKPOINT


@pytest.mark.parametrize("extra", [bytes(64), bytes(63), bytes(65)])
def test_one_bad_signature_of_the_known_key_refuses_the_note__signed_note(extra: bytes) -> None:
    """A good signature does not make up for a bad one of the same key."""
    bad = f"\N{EM DASH} {ORIGIN} {b64encode(VERIFIER.key_id + extra).decode()}\n"
    with pytest.raises(NoteError, match="signature"):
        open_note(NOTE + bad, VERIFIER)


def test_every_edited_octet_is_found() -> None:
    """No octet of a signed note can be another one."""
    octets = NOTE.encode()
    for at in range(len(octets)):
        with pytest.raises(NoteError):
            open_note(octets[:at] + bytes([octets[at] ^ 1]) + octets[at + 1 :], VERIFIER)


def test_every_shortened_note_is_refused() -> None:
    """No part of a signed note is one."""
    for end in range(len(NOTE)):
        with pytest.raises(NoteError):
            open_note(NOTE[:end], VERIFIER)


def test_another_key_is_refused() -> None:
    """A note that the log's key has not signed is none of the log's."""
    other = Ed25519PrivateKey.from_private_bytes(bytes(32))
    with pytest.raises(NoteError, match="not signed by the log's key"):
        open_note(signed(note_body(CHECKPOINT), key=other), VERIFIER)


def test_a_colliding_key_id_is_a_bad_signature__signed_note() -> None:
    """The id names a key and proves nothing."""
    other = VerifierKey(ORIGIN, VERIFIER.key_id, Ed25519PrivateKey.generate().public_key().public_bytes_raw())
    with pytest.raises(NoteError, match="does not hold"):
        open_note(NOTE, other)


def test_a_log_speaks_for_itself_only() -> None:
    """A checkpoint of another origin is refused, though the key has signed it."""
    with pytest.raises(NoteError, match="speaks for a log"):
        open_note(signed(note_body(Checkpoint("other.example/log", 1, bytes(32)))), VERIFIER)


@pytest.mark.parametrize(
    "body",
    [
        f"{ORIGIN}\n42\n",
        f"{ORIGIN}\n42\n{ROOT}\nextension\n",
        f"{ORIGIN}\n42\n\n{ROOT}\n",
        f"\n42\n{ROOT}\n",
        f"a b\n42\n{ROOT}\n",
        f"a+b\n42\n{ROOT}\n",
        f"{'a' * 256}\n42\n{ROOT}\n",
        f"{ORIGIN}\n042\n{ROOT}\n",
        f"{ORIGIN}\n+42\n{ROOT}\n",
        f"{ORIGIN}\n-1\n{ROOT}\n",
        f"{ORIGIN}\n4_2\n{ROOT}\n",
        f"{ORIGIN}\n\uff14\uff12\n{ROOT}\n",
        f"{ORIGIN}\n\n{ROOT}\n",
        f"{ORIGIN}\n{'9' * 20}\n{ROOT}\n",
        f"{ORIGIN}\n42 \n{ROOT}\n",
        f"{ORIGIN}\n42\r\n{ROOT}\n",
        f"{ORIGIN}\n42\n{ROOT[:-1]}\n",
        f"{ORIGIN}\n42\n{b64encode(bytes(31)).decode()}\n",
        f"{ORIGIN}\n42\n{ROOT.replace('8=', '9=')}\n",
        f"{ORIGIN}\n42\n{ROOT.replace('/', '_')}x\n",
        f"{ORIGIN}\n42\nä\n",
    ],
)
def test_another_form_of_checkpoint_is_refused__tlog_checkpoint(body: str) -> None:
    """Three lines, one spelling; a good signature changes nothing."""
    with pytest.raises(NoteError):
        open_note(signed(body.encode()), VERIFIER)


@pytest.mark.parametrize(
    "tail",
    [
        "",
        "\n",
        LINE.rstrip("\n"),
        LINE.replace("\N{EM DASH}", "-"),
        LINE.replace("\N{EM DASH} ", "\N{EM DASH}"),
        LINE.replace(ORIGIN, ""),
        LINE.replace("\n", " x\n"),
        f"\N{EM DASH} {ORIGIN}\n",
        f"\N{EM DASH} {ORIGIN} AAAAAA==\n",
        LINE + "\x00\n",
        LINE + "\t\n",
        LINE * (MAX_SIGNATURES + 1),
    ],
)
def test_another_form_of_signature_line_is_refused__signed_note(tail: str) -> None:
    """Signature lines have one form; their number has a cap."""
    with pytest.raises(NoteError):
        open_note(NOTE.split("\n\n")[0] + "\n\n" + tail, VERIFIER)


@pytest.mark.parametrize("text", ["", "\n\n", "x" * (MAX_NOTE_OCTETS + 1), b"\xff" + NOTE.encode(), "\ud800" + NOTE])
def test_what_is_no_note_is_refused__signed_note(text: str | bytes) -> None:
    """Empty, too long, or not UTF-8."""
    with pytest.raises(NoteError):
        parse_signed_note(text)


@pytest.mark.parametrize(
    "line",
    [
        "",
        ORIGIN,
        KEY_LINE + "+",
        KEY_LINE + "=",
        KEY_LINE + "\n",
        KEY_LINE[1:],
        KEY_LINE.replace(VERIFIER.key_id.hex(), VERIFIER.key_id.hex().upper()),
        KEY_LINE.replace(VERIFIER.key_id.hex(), "00000000"),
        KEY_LINE.replace(VERIFIER.key_id.hex(), "0"),
        f"{ORIGIN}+{VERIFIER.key_id.hex()}+{b64encode(bytes([2]) + PUBLIC).decode()}",
        f"{ORIGIN}+{VERIFIER.key_id.hex()}+{b64encode(bytes([1]) + PUBLIC[:-1]).decode()}",
        f"{ORIGIN}+{VERIFIER.key_id.hex()}+ä",
    ],
)
def test_another_form_of_verifier_key_is_refused__signed_note(line: str) -> None:
    """A verifier key has a name, the right id, and an Ed25519 key, in one spelling."""
    with pytest.raises(NoteError):
        parse_verifier_key(line)


@pytest.mark.parametrize("name", ["", "a b", "a\u00a0b", "a+b", "a\nb", "ü" * 128])
def test_a_name_that_no_note_can_bear_is_not_written__signed_note(name: str) -> None:
    """What could not be read is not written."""
    with pytest.raises(NoteError):
        render_verifier_key(name, PUBLIC)
    with pytest.raises(NoteError):
        render_signed_note(CHECKPOINT, name, VERIFIER.key_id, bytes(64))
    with pytest.raises(NoteError):
        note_body(Checkpoint(name, 1, bytes(32)))
