"""What binds our own ACME account to somebody whom the CA knows otherwise: a key's id and secret (RFC 8555 7.3.4).

Rules: the secret comes from a file and never from argv; a file that others can read is refused; no error holds it; it
is read at the moment of need, so that a file that has done its work may go.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from dayfly.core.acme.external_accounts import render_binding
from dayfly.core.jose.encoding import EncodingError, b64u_decode
from dayfly.core.jose.jwk import PublicKey
from dayfly.errors import ConfigError

MAX_OCTETS = 1024
_OTHERS = 0o007  # a group may be the agent's own


@dataclass(frozen=True, slots=True)
class ExternalAccount:
    """A key for external account bindings, as an operator hands it over."""

    kid: str
    secret: bytes = field(repr=False)

    def binding(self, key: PublicKey, *, url: str) -> dict[str, str]:
        """The binding of an account with this key, for a newAccount request that goes to `url`."""
        return render_binding(self.kid, self.secret, key=key, url=url)


def load_external_account(kid: str, path: Path) -> ExternalAccount:
    """The key of this id, its secret (base64url) in a file; ConfigError."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(MAX_OCTETS + 1).strip()
    except OSError as error:
        raise ConfigError(
            "", f"the external account key's file {path} cannot be read: {error.strerror}", hint="name another file"
        ) from None
    if stat.S_IMODE(mode) & _OTHERS:
        hint = f"run: chmod o= {path}"
        raise ConfigError("", f"{path} has mode {stat.S_IMODE(mode):04o}: others can read the secret", hint=hint)
    try:
        secret = b64u_decode(content) if len(content) <= MAX_OCTETS else b""
    except EncodingError:
        secret = b""
    if not secret:
        hint = "dayfly ca eab add shows it once, as base64url without padding; nothing else may stand in the file"
        raise ConfigError("", f"{path} holds no external account key", hint=hint)
    return ExternalAccount(kid, secret)
