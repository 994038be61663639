"""There is one way to a signature (security.md P0-2)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "dayfly"


def callers(attribute: str) -> set[str]:
    """The modules that call a method of this name."""
    found = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == attribute:
                found.add(str(path.relative_to(SOURCE)))
    return found


def test_only_issuing_calls_a_signer() -> None:
    """`Signer.sign_certificate` and `sign_crl` are called by authority/issuing and by nothing else."""
    assert callers("sign_certificate") == {"authority/issuing.py"}
    assert callers("sign_crl") == {"authority/issuing.py"}


def test_only_the_log_use_case_signs_checkpoints() -> None:
    """`NoteSigner.sign_checkpoint` is called by authority/log and by nothing else."""
    assert callers("sign_checkpoint") == {"authority/log.py"}


@pytest.mark.parametrize(
    ("accepted", "maker"), [("LintedCertificate", "core/x509/lint.py"), ("CheckedCRL", "core/x509/crl_lint.py")]
)
def test_only_the_lint_makes_what_a_signer_accepts(accepted: str, maker: str) -> None:
    """`LintedCertificate` and `CheckedCRL` are constructed by their lint and nowhere else."""
    makers = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == accepted:
                makers.add(str(path.relative_to(SOURCE)))
    assert makers == {maker}
