"""The keys of the CA: the one that issues, and the log's own.

Rules: a signer signs what a lint has passed and nothing else, which the types say; a key never crosses a port.
"""

from __future__ import annotations

from typing import Protocol

from dayfly.core.transparency.checkpoint import Checkpoint
from dayfly.core.x509.crl_lint import CheckedCRL
from dayfly.core.x509.lint import LintedCertificate
from dayfly.core.x509.profile import IssuerFacts


class Signer(Protocol):
    """The issuing key. It signs what the lint has passed, and nothing else."""

    @property
    def issuer(self) -> IssuerFacts:
        """What the profile needs to know of the issuing certificate."""
        ...

    @property
    def chain(self) -> tuple[bytes, ...]:
        """The certificates (DER) to hand out after the leaf, issuer first, without the root."""
        ...

    async def sign_certificate(self, linted: LintedCertificate) -> bytes:
        """The certificate (DER) for the linted bytes; each draft once. SignerError."""
        ...

    async def sign_crl(self, checked: CheckedCRL) -> bytes:
        """The CRL (DER) for the checked bytes; each draft once. SignerError."""
        ...


class NoteSigner(Protocol):
    """The log's own key."""

    @property
    def origin(self) -> str:
        """The log's origin line, also the key's name in signed notes."""
        ...

    async def sign_checkpoint(self, checkpoint: Checkpoint) -> str:
        """The checkpoint as a signed note. SignerError."""
        ...
