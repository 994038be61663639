"""The Merkle tree of the log (RFC 6962 2.1): hashes, the growing edge, and proofs.

Rules: SHA-256 throughout; a leaf is hashed with 0x00 and a node with 0x01 in front, so that neither passes for the
other; what a verification finds wrong is raised as ProofError, and nothing is answered with True or False.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from dayfly.errors import DayflyError

HASH_OCTETS = 32
EMPTY_ROOT = sha256().digest()
"""The root hash of the tree without leaves (RFC 6962 2.1)."""

_SIZE_OCTETS = 8
_MAX_SIZE = 1 << 63  # what a database's integer holds
_MAX_PROOF = 64  # hashes; a tree of 2^63 leaves needs no more


class ProofError(DayflyError):
    """A proof, or a stored frontier, does not show what it should."""


@dataclass(frozen=True, slots=True)
class Frontier:
    """The growing edge of a tree: the roots of its complete subtrees, largest first, one for each bit of `size`.

    It is all that appending needs: the tree of a million leaves grows from at most twenty hashes.
    """

    size: int
    hashes: tuple[bytes, ...]


EMPTY_FRONTIER = Frontier(0, ())


def leaf_hash(data: bytes) -> bytes:
    """The hash of a leaf (RFC 6962 2.1)."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node over its two children (RFC 6962 2.1)."""
    return sha256(b"\x01" + left + right).digest()


# --- growing ----------------------------------------------------------------------------------------------------------


def extend(frontier: Frontier, leaf_hashes: Sequence[bytes]) -> Frontier:
    """The frontier after these leaves were appended; one node is hashed for each leaf, on average.

    A leaf completes as many subtrees as the size before it ends in one bits.
    """
    hashes, size = list(frontier.hashes), frontier.size
    for leaf in leaf_hashes:
        node, rest = leaf, size
        while rest & 1:
            node = sha256(b"\x01" + hashes.pop() + node).digest()
            rest >>= 1
        hashes.append(node)
        size += 1
    return Frontier(size, tuple(hashes))


def root_hash(frontier: Frontier) -> bytes:
    """The root hash of the whole tree: the subtrees are joined from the smallest up (RFC 6962 2.1)."""
    if not frontier.hashes:
        return EMPTY_ROOT
    root = frontier.hashes[-1]
    for left in frontier.hashes[-2::-1]:
        root = node_hash(left, root)
    return root


def render_frontier(frontier: Frontier) -> bytes:
    """The frontier as stored: the size in eight octets, big-endian, then the hashes."""
    return frontier.size.to_bytes(_SIZE_OCTETS) + b"".join(frontier.hashes)


def parse_frontier(data: bytes) -> Frontier:
    """The reverse of `render_frontier`; ProofError for octets that it never gives."""
    size = int.from_bytes(data[:_SIZE_OCTETS])
    if len(data) < _SIZE_OCTETS or size >= _MAX_SIZE:
        raise ProofError("the frontier does not begin with a size")
    if len(data) != _SIZE_OCTETS + HASH_OCTETS * size.bit_count():
        raise ProofError(f"the frontier of a tree of {size} leaves has {size.bit_count()} hashes, this one has not")
    starts = range(_SIZE_OCTETS, len(data), HASH_OCTETS)
    return Frontier(size, tuple(data[start : start + HASH_OCTETS] for start in starts))


# --- proofs -----------------------------------------------------------------------------------------------------------


def tree_head(leaf_hashes: Sequence[bytes]) -> bytes:
    """The root hash over all leaves at once, level by level; a node without a neighbour moves up as it is."""
    level = list(leaf_hashes)
    while len(level) > 1:
        level = _level_above(level)
    return level[0] if level else EMPTY_ROOT


def inclusion_proof(leaf_hashes: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """The audit path of the leaf at `index`, from its neighbour up (RFC 6962 2.1.1); ProofError if there is no such."""
    level = list(leaf_hashes)
    if not 0 <= index < len(level):
        raise ProofError(f"a log of {len(level)} entries has no entry {index}")
    path = []
    while len(level) > 1:
        neighbour = index ^ 1
        if neighbour < len(level):
            path.append(level[neighbour])
        level, index = _level_above(level), index >> 1
    return tuple(path)


def consistency_proof(leaf_hashes: Sequence[bytes], old_size: int) -> tuple[bytes, ...]:
    """The proof that the tree of the first `old_size` leaves is a prefix of this one (RFC 6962 2.1.2).

    Empty for the empty tree, which is a prefix of all, and for the same size. ProofError for a size beyond this one.
    """
    if not 0 <= old_size <= len(leaf_hashes):
        raise ProofError(f"a log of {len(leaf_hashes)} entries has no prefix of {old_size}")
    if old_size in {0, len(leaf_hashes)}:
        return ()
    return _subproof(leaf_hashes, old_size, whole=True)


def verify_inclusion(leaf: bytes, index: int, *, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Raise ProofError unless the leaf hash stands at `index` in the tree of this size and root (RFC 9162 2.1.3.2)."""
    if not 0 <= index < size:
        raise ProofError(f"a log of {size} entries has no entry {index}")
    _check_hashes(proof)
    number, last, node = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise ProofError("the inclusion proof is too long")
        if number & 1 or number == last:
            node = node_hash(sibling, node)
            while not number & 1 and number:
                number, last = number >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        number, last = number >> 1, last >> 1
    if last:
        raise ProofError("the inclusion proof is too short")
    if node != root:
        raise ProofError(f"the inclusion proof does not lead from entry {index} to the root hash")


def verify_consistency(
    old_size: int, old_root: bytes, *, new_size: int, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Raise ProofError unless the older tree is a prefix of the newer one (RFC 9162 2.1.4.2)."""
    _check_hashes(proof)
    if not 0 <= old_size <= new_size:
        raise ProofError(f"a log of {new_size} entries has no prefix of {old_size}")
    if old_size in {0, new_size}:
        expected = new_root if old_size else EMPTY_ROOT
        if proof or old_root != expected:
            raise ProofError("logs of one size have one root hash, an empty log has the empty one, and neither a proof")
        return
    path = (old_root, *proof) if old_size.bit_count() == 1 else tuple(proof)
    if not path:
        raise ProofError("the consistency proof is empty")
    if _walk_consistency(path, old_size - 1, new_size - 1) != (old_root, new_root):
        raise ProofError(f"the log of {new_size} entries does not begin with that of {old_size}")


def _walk_consistency(path: Sequence[bytes], number: int, last: int) -> tuple[bytes, bytes]:
    """The roots of both trees as the path gives them (RFC 9162 2.1.4.2, steps 4 to 6)."""
    while number & 1:
        number, last = number >> 1, last >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise ProofError("the consistency proof is too long")
        if number & 1 or number == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not number & 1 and number:
                number, last = number >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        number, last = number >> 1, last >> 1
    if last:
        raise ProofError("the consistency proof is too short")
    return old, new


def _subproof(leaf_hashes: Sequence[bytes], old_size: int, *, whole: bool) -> tuple[bytes, ...]:
    """SUBPROOF of RFC 6962 2.1.2; `whole` says that the verifier has the older tree's root already."""
    size = len(leaf_hashes)
    if old_size == size:
        return () if whole else (tree_head(leaf_hashes),)
    split = 1 << (size - 1).bit_length() - 1
    left, right = leaf_hashes[:split], leaf_hashes[split:]
    if old_size <= split:
        return (*_subproof(left, old_size, whole=whole), tree_head(right))
    return (*_subproof(right, old_size - split, whole=False), tree_head(left))


def _level_above(level: Sequence[bytes]) -> list[bytes]:
    above = [node_hash(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
    return [*above, level[-1]] if len(level) & 1 else above


def _check_hashes(proof: Sequence[bytes]) -> None:
    if len(proof) > _MAX_PROOF or any(len(one) != HASH_OCTETS for one in proof):
        raise ProofError(f"a proof is at most {_MAX_PROOF} hashes of {HASH_OCTETS} octets")
