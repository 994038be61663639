"""What is known of each client, and the table of what a run saw it do.

Rules: a deed stands in the table when its test passed in this run, and in no other case; what a client cannot do is
said here, so that an empty field is a deed which was not tried.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

DEEDS = ("enrol", "renew", "revoke", "ARI", "EAB", "chaos")

NEVER: dict[str, str] = {
    "acme-client (Node.js)": "ARI",
    "acme-client (Ruby)": "ARI EAB",
    "acme-tiny": "revoke ARI EAB",
    "acmetool": "revoke ARI EAB",
    "Apache mod_md": "revoke",
    "Caddy": "revoke ARI",
    "certbot": "ARI",
    "dehydrated": "ARI",
    "HAProxy": "revoke ARI EAB",
    "lego": "ARI",
    "step": "ARI EAB",
    "nginx (ACME module)": "revoke",
    "uacme": "ARI",
    "x/crypto/acme (Go)": "ARI",
}
"""What a client, in the version that is tested, has no way to do."""

QUIRKS: dict[str, str] = {
    "acme (Python)": "asks when to renew, and names no predecessor: such an order counts as any other",
    "acme-client (Node.js)": "looks for its own answer before it asks the CA: `skipChallengeVerification`, where the"
    " client sees other addresses than the CA does",
    "acme-client (Ruby)": "its request builder writes version 2, which no PKCS#10 request has: `badCSR` says so; make"
    " the request with OpenSSL",
    "acme-tiny": "a certificate at every run: run it a few times in a lifetime, not hourly",
    "acme.sh": "before 3.1.4 it thinks in days: run `--cron` every hour, with `--force`; gives up at a"
    " `badNonce` while it polls (chaos without refused nonces)",
    "acme4j (Java)": "counts Retry-After from Date, which has whole seconds, and fails when that is past: no wait"
    " while a challenge is processed is below 2 s",
    "acmetool": "looks at an order every 5 s, whatever it is told: an issuance takes 10 s;"
    " `acmetool revoke` marks a folder and asks nobody: `dayfly ca revoke` does",
    "Apache mod_md": "fetches in the background, serves after a graceful restart: run one from a timer, or by"
    " `MDMessageCmd`",
    "Caddy": "looks every 10 minutes: set `renew_interval` for lives below an hour",
    "cert-manager": "waits an hour, then up to 32, after an order that failed: what may pass is tried 5 times in 45 s"
    " before an order fails, and what the CA cannot do for the moment is 503, which leaves the order as it is",
    "certbot": "thinks of 30 days before the end: renews at every run; `subproblems: null` would break it: it is"
    " never sent",
    "certbot 5 (PyPI)": "after an error of renewal information it asks again in 6 h: it is answered from memory",
    "CertMagic (Go)": "looks every 10 minutes: set `RenewCheckInterval` of the cache for lives below an hour",
    "dehydrated": "gives up at the first `badNonce`, where RFC 8555 asks for another try: a nonce that the CA gave is"
    " good until it restarts (chaos without refused nonces)",
    "HAProxy": "looks every 12 hours, and renews when a twelfth of the life is left: send `acme renew` to its socket"
    " from a timer; keeps what it got in memory; takes no address in the CA's certificate: name the CA",
    "lego": "thinks of 30 days before the end: `--days` above the lifetime, so that every run renews; may send"
    " notAfter: it is kept to the second",
    "lego 5 (Go)": "needs a timer of yours: ask `GetRenewalInfo` for the moment",
    "nginx (ACME module)": "sleeps 30 s at least, and asks for renewal information every minute at most: lives of some"
    " minutes and more",
    "step": "asks 10 times in 46 s and then gives up: all that is tried has come to an end in 45 s; renews over mTLS;"
    " gives up at the first `badNonce` (chaos without refused nonces)",
    "uacme": "trusts the system's roots only",
}
"""What a client does that assumes 90 days or another CA, and what answers it."""


@dataclass
class Row:
    """One client: its version, and what it was seen doing."""

    client: str
    version: str
    done: set[str] = field(default_factory=set)

    def cells(self) -> tuple[str, ...]:
        """Its fields, in the table's order."""
        never = NEVER.get(self.client, "").split()
        deeds = ("yes" if one in self.done else "–" if one in never else "" for one in DEEDS)
        return (self.client, self.version, *deeds, QUIRKS.get(self.client, ""))


HEAD = ("client", "version", *DEEDS, "what it does otherwise, and what answers it")


def markdown(rows: Iterable[Row]) -> str:
    """The rows as the page has them."""
    lines = [HEAD, tuple("---" for _ in HEAD), *(row.cells() for row in rows)]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def plain(rows: Iterable[Row]) -> Iterable[str]:
    """The rows for a terminal, without the last field."""
    lines = [HEAD[:-1], *(row.cells()[:-1] for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(HEAD) - 1)]
    for line in lines:
        yield "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()


def merged(page: str, rows: Iterable[Row]) -> str:
    """The page with these rows in its table; a client that this run did not see keeps the row it has."""
    before, mark, table = page.partition("| client |")
    if not mark:
        raise ValueError("the page has no table")
    lines = {line[2:].partition(" |")[0]: line for line in table.splitlines()[2:] if line.startswith("| ")}
    lines |= {row.client: line for row in rows for line in markdown([row]).splitlines()[2:]}
    return before + markdown([]) + "".join(f"{lines[name]}\n" for name in sorted(lines, key=str.lower))
