"""What shall be issued, as data: every entry point decides on one of these, and one function carries it out."""

from __future__ import annotations

import msgspec

from dayfly.core.identifiers import Identifier
from dayfly.core.policy.decisions import Allowed
from dayfly.core.policy.lifetimes import Validity


class IssuePlan(msgspec.Struct, frozen=True, gc=False):
    """What shall be issued; `allowed` is the name rule that decided, the first name's.

    The common name is one of the names, or for the step API `subject`, a name beside them that met the same rules.
    `thumbprint` (RFC 7638) is that of a key that came in a request: it may be no account's (RFC 8555 11.1). A key that
    is certified already, and the CA's own, have "".
    """

    names: tuple[Identifier, ...]
    spki: bytes
    validity: Validity
    common_name: str | None
    profile: str
    provisioner: str
    allowed: Allowed
    subject: Identifier | None = None
    thumbprint: str = ""
