"""There is one way to a signature (security.md P0-2)."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "dayfly"


@functools.cache
def calls() -> tuple[tuple[str, ast.expr], ...]:
    """Module and function of every call in the package."""
    return tuple(
        (str(path.relative_to(SOURCE)), node.func)
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call)
    )


def callers(attribute: str) -> set[str]:
    """The modules that call a method of this name."""
    return {module for module, called in calls() if isinstance(called, ast.Attribute) and called.attr == attribute}


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
    makers = {module for module, called in calls() if isinstance(called, ast.Name) and called.id == accepted}
    assert makers == {maker}
