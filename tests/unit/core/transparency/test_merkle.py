"""The Merkle tree: published vectors, and the definition of RFC 6962 2.1 held against the fast ways."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dayfly.core.transparency.merkle import (
    EMPTY_FRONTIER,
    EMPTY_ROOT,
    Frontier,
    ProofError,
    consistency_proof,
    extend,
    inclusion_proof,
    leaf_hash,
    node_hash,
    parse_frontier,
    render_frontier,
    root_hash,
    tree_head,
    verify_consistency,
    verify_inclusion,
)

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[3] / "vectors" / "merkle" / "tree.json").read_text("utf-8")
)
REFERENCE = [leaf_hash(bytes.fromhex(one)) for one in VECTORS["leaves"]]
ROOTS = [bytes.fromhex(one) for one in VECTORS["roots"]]
LEAVES = [leaf_hash(str(number).encode()) for number in range(64)]
SIZES = range(65)


def defined_head(leaves: list[bytes]) -> bytes:
    """MTH as RFC 6962 2.1 writes it."""
    if len(leaves) < 2:
        return leaves[0] if leaves else sha256(b"").digest()
    split = max(1 << bit for bit in range(7) if 1 << bit < len(leaves))
    return node_hash(defined_head(leaves[:split]), defined_head(leaves[split:]))


def hashes(texts: list[str]) -> tuple[bytes, ...]:
    """Hashes from hex."""
    return tuple(bytes.fromhex(text) for text in texts)


@pytest.mark.parametrize("size", range(9))
def test_tree_head_is_the_published_one__rfc6962_2_1(size: int) -> None:
    """The root hash over the first leaves is the reference implementation's, by all three ways."""
    assert tree_head(REFERENCE[:size]) == ROOTS[size]
    assert root_hash(extend(EMPTY_FRONTIER, REFERENCE[:size])) == ROOTS[size]
    assert defined_head(REFERENCE[:size]) == ROOTS[size]


@pytest.mark.parametrize("vector", VECTORS["inclusion"])
def test_inclusion_proof_is_the_published_one__rfc6962_2_1_1(vector: dict[str, Any]) -> None:
    """The audit path is the reference implementation's, and it verifies."""
    index, size, proof = vector["index"], vector["size"], hashes(vector["proof"])
    assert inclusion_proof(REFERENCE[:size], index) == proof
    verify_inclusion(REFERENCE[index], index, size=size, proof=proof, root=ROOTS[size])


@pytest.mark.parametrize("vector", VECTORS["consistency"])
def test_consistency_proof_is_the_published_one__rfc6962_2_1_2(vector: dict[str, Any]) -> None:
    """The consistency proof is the reference implementation's, and it verifies."""
    old, new, proof = vector["old_size"], vector["new_size"], hashes(vector["proof"])
    assert consistency_proof(REFERENCE[:new], old) == proof
    verify_consistency(old, ROOTS[old], new_size=new, new_root=ROOTS[new], proof=proof)


def test_a_leaf_is_no_node__rfc6962_2_1() -> None:
    """Leaves and nodes are hashed apart."""
    left, right = LEAVES[:2]
    assert leaf_hash(left + right) != node_hash(left, right)


@pytest.mark.parametrize("size", SIZES)
def test_extend_gives_the_defined_head_however_it_is_cut(size: int) -> None:
    """Appending in any two parts gives the root hash of the definition, and one hash for each bit of the size."""
    expected = defined_head(LEAVES[:size])
    for cut in range(size + 1):
        frontier = extend(extend(EMPTY_FRONTIER, LEAVES[:cut]), LEAVES[cut:size])
        assert (frontier.size, len(frontier.hashes)) == (size, size.bit_count())
        assert root_hash(frontier) == expected
    assert tree_head(LEAVES[:size]) == expected


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=300), st.data())
def test_extend_in_groups_is_tree_head(leaves: list[bytes], data: st.DataObject) -> None:
    """However the leaves come in groups, the root hash is that of all at once."""
    frontier, at = EMPTY_FRONTIER, 0
    while at < len(leaves):
        count = data.draw(st.integers(1, len(leaves) - at))
        frontier, at = extend(frontier, leaves[at : at + count]), at + count
    assert root_hash(frontier) == tree_head(leaves)


@pytest.mark.parametrize("size", SIZES)
def test_every_inclusion_proof_verifies_and_for_its_index_only(size: int) -> None:
    """Each leaf has its proof; it does not pass for another index, leaf, or root, nor shortened or lengthened."""
    leaves = LEAVES[:size]
    root = tree_head(leaves)
    for index, leaf in enumerate(leaves):
        proof = inclusion_proof(leaves, index)
        verify_inclusion(leaf, index, size=size, proof=proof, root=root)
        wrong: list[tuple[bytes, int, tuple[bytes, ...], bytes]] = [
            (node_hash(leaf, leaf), index, proof, root),
            (leaf, index, (*proof, leaf), root),
            (leaf, index, proof, EMPTY_ROOT),
            *((leaf, other, proof, root) for other in range(size) if other != index),
            *((leaf, index, proof[:cut], root) for cut in range(len(proof))),
        ]
        for one, place, path, head in wrong:
            with pytest.raises(ProofError):
                verify_inclusion(one, place, size=size, proof=path, root=head)


@pytest.mark.parametrize("size", SIZES)
def test_every_consistency_proof_verifies_and_for_its_roots_only(size: int) -> None:
    """Each prefix has its proof; it does not pass for other roots, nor shortened or lengthened."""
    leaves, head = LEAVES[:size], tree_head(LEAVES[:size])
    for old in range(size + 1):
        old_root, proof = tree_head(leaves[:old]), consistency_proof(leaves, old)
        verify_consistency(old, old_root, new_size=size, new_root=head, proof=proof)
        wrong = [(b"\x00" * 32, head, proof), (old_root, head, (*proof, head))]
        wrong += [(old_root, head, proof[:cut]) for cut in range(len(proof))]
        wrong += [(old_root, b"\x00" * 32, proof)] if old else []
        for first, second, path in wrong:
            with pytest.raises(ProofError):
                verify_consistency(old, first, new_size=size, new_root=second, proof=path)


@pytest.mark.parametrize("index", [-1, 3])
def test_no_inclusion_outside_the_log(index: int) -> None:
    """An index outside the log has no proof, and none verifies."""
    with pytest.raises(ProofError, match="has no entry"):
        inclusion_proof(LEAVES[:3], index)
    with pytest.raises(ProofError, match="has no entry"):
        verify_inclusion(LEAVES[0], index, size=3, proof=(), root=EMPTY_ROOT)


@pytest.mark.parametrize("old", [-1, 4])
def test_no_consistency_with_a_larger_log(old: int) -> None:
    """A log is no prefix of a smaller one."""
    with pytest.raises(ProofError, match="has no prefix"):
        consistency_proof(LEAVES[:3], old)
    with pytest.raises(ProofError, match="has no prefix"):
        verify_consistency(old, EMPTY_ROOT, new_size=3, new_root=EMPTY_ROOT, proof=())


@pytest.mark.parametrize("proof", [(b"\x00" * 31,), (b"\x00" * 32,) * 65])
def test_proofs_are_a_bounded_number_of_whole_hashes(proof: tuple[bytes, ...]) -> None:
    """A proof with a hash of another length, or with more hashes than any tree needs, is refused."""
    with pytest.raises(ProofError, match="at most 64 hashes"):
        verify_inclusion(LEAVES[0], 0, size=2, proof=proof, root=EMPTY_ROOT)
    with pytest.raises(ProofError, match="at most 64 hashes"):
        verify_consistency(1, EMPTY_ROOT, new_size=2, new_root=EMPTY_ROOT, proof=proof)


@pytest.mark.parametrize("size", SIZES)
def test_frontier_survives_storage(size: int) -> None:
    """What is stored of a frontier gives it back."""
    frontier = extend(EMPTY_FRONTIER, LEAVES[:size])
    assert parse_frontier(render_frontier(frontier)) == frontier


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 7,
        b"\x80" + b"\x00" * 7 + b"\x00" * 32,
        (1).to_bytes(8),
        (1).to_bytes(8) + b"\x00" * 31,
        (1).to_bytes(8) + b"\x00" * 33,
        (3).to_bytes(8) + b"\x00" * 32,
        (0).to_bytes(8) + b"\x00" * 32,
    ],
)
def test_frontier_of_another_form_is_refused(data: bytes) -> None:
    """A stored frontier has its size, below 2^63, and exactly one hash for each bit of it."""
    with pytest.raises(ProofError):
        parse_frontier(data)


def test_empty_frontier_is_the_empty_tree__rfc6962_2_1() -> None:
    """The tree without leaves has the hash of nothing."""
    assert Frontier(0, ()) == EMPTY_FRONTIER
    assert root_hash(EMPTY_FRONTIER) == EMPTY_ROOT == sha256(b"").digest()
