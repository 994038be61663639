"""What to run after a refusal that is no matter of names (style.md: an error says what next).

Rules: the step API tells a status and a text and nothing to tell refusals apart by, so the words that ours have in
them decide; another CA's text gets no advice, and never a wrong one.
"""

from __future__ import annotations

from collections.abc import Mapping

_NEW_ONE = "get a new one: dayfly ca certificate NAME CRT KEY --force"
# Words of a refusal's text, the first that are in it count.
NEXT: Mapping[str, str] = {
    "the lifetime is above the longest": "ask for less with --not-after, or an admin raises it: "
    "dayfly ca provisioner update NAME --x509-max-dur DURATION",
    "only with an external account binding": "an admin makes a key: dayfly ca eab add NAME; bring it with "
    "--eab-key-id and --eab-key-file, an agent with ca.eab in agent.toml, certbot with --eab-kid and --eab-hmac-key",
    "token already used": "make one: dayfly ca token SUBJECT",
    "key is compromised": "get a new one, with a new key: dayfly ca certificate NAME CRT KEY --force",
    "the certificate was revoked": _NEW_ONE,
    "that this one was renewed from was revoked": _NEW_ONE,
    "the certificate's provisioner is gone or disabled": _NEW_ONE,
    "does not renew certificates": _NEW_ONE,
    "no root certificate has this fingerprint": "on the CA's host: dayfly certificate fingerprint certs/root_ca.crt",
    "no certificate with this serial number": "list them on the CA's host: dayfly ca list --all",
}
UNREACHABLE = "the CA must reach the name on port 80: check DNS, the firewall, and --http-listen"
"""After a failed http-01 challenge (connection, dns)."""


def next_step(text: str) -> str:
    """The next step after a refusal with this text; "" where none is known."""
    return next((step for words, step in NEXT.items() if words in text), "")
