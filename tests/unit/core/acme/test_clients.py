"""Clients by what they call themselves (acme.md part 15)."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dayfly.core.acme.clients import (
    MAX_USER_AGENT,
    PROGRAMS,
    clean_user_agent,
    is_same_client,
    name_client,
    recognise,
)

CERTBOT = (
    "CertbotACMEClient/2.1.0 (certbot; Debian GNU/Linux 12 (bookworm)) Authenticator/standalone Installer/None"
    " (certonly; flags: n) Py/3.11.2"
)
RENEWING = CERTBOT.replace("certonly; flags: n", "renew; flags: n")
LEGO = "lego-cli/4.9.1 xenolf-acme/4.9.1 (release; linux; amd64)"

SEEN = {
    CERTBOT: "certbot 2.1.0",
    LEGO: "lego 4.9.1",
    "lego-cli/dev xenolf-acme/5.6.0 (release; linux; amd64)": "lego 5.6.0",  # as Debian builds it
    "uacme/1.7.4-1~deb12u1 (https://github.com/ndilieto/uacme)": "uacme 1.7.4",
    "CertbotACMEClient/2.1.0.dev0 (certbot; linux)": "certbot 2.1.0",
    "containous-traefik/3.1.6 xenolf-acme/4.18.0 (release; linux; amd64)": "Traefik 3.1.6",
    "xenolf-acme/5.6.0 (release; linux; amd64)": "lego (Go) 5.6.0",
    "Caddy/2.6.2 CertMagic acmez (linux; amd64)": "Caddy 2.6.2",
    "CertMagic acmez (linux; amd64)": "CertMagic (Go)",
    "cert-manager-clusterissuers/v1.5.4 (linux/amd64) cert-manager/e1d44a5b": "cert-manager 1.5.4",
    "golang.org/x/crypto/acme@v0.59.0": "x/crypto/acme (Go) 0.59.0",
    "dehydrated/0.7.0 curl/7.88.1": "dehydrated 0.7.0",
    "Apache/2.4.62 (Debian) mod_md/2.4.26": "Apache mod_md 2.4.26",
    "acme.sh/3.1.4 (https://github.com/acmesh-official/acme.sh)": "acme.sh 3.1.4",
    "uacme/1.7.4 (https://github.com/ndilieto/uacme)": "uacme 1.7.4",
    "Acme::Client v2.0.9 (https://github.com/unixcharles/acme-client)": "acme-client (Ruby) 2.0.9",
    "win-acme/2.2.9.1701 (+https://github.com/win-acme/win-acme)": "win-acme 2.2.9.1701",
    "HAProxy": "HAProxy",
    "nginx-acme/0.4.1 nginx/1.30.6": "nginx (ACME module) 0.4.1",
}


@pytest.mark.parametrize(("user_agent", "name"), SEEN.items(), ids=SEEN.keys())
def test_client_is_known_by_its_user_agent__acme_15(user_agent: str, name: str) -> None:
    """The program before its library, with its version."""
    assert name_client(user_agent) == name


@pytest.mark.parametrize("stranger", ["nothaproxy/1", "HAProxyX", "my-dehydrated/1", "x/lego-cli/4.9.1", "dehydrated/"])
def test_client_with_another_name_is_a_stranger(stranger: str) -> None:
    """A name begins and ends where it does; a stranger is called by its own first word."""
    assert recognise(f"{stranger} (linux)") is None
    assert name_client(f"{stranger} (linux)") == stranger


def test_no_user_agent_is_no_client() -> None:
    """Nothing is said of nobody."""
    assert (recognise(""), name_client("")) == (None, "")


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (b"curl/8", "curl/8"),
        (b"  a\x1b[31m\xff\xe4b\x00 c ", "a?[31m?b? c"),
        (b"x" * 5000, "x" * MAX_USER_AGENT),
        (b"", ""),
    ],
    ids=["plain", "control characters", "long", "none"],
)
def test_what_is_kept_is_short_and_printable__acme_15(sent: bytes, kept: str) -> None:
    """A terminal and a table may show it."""
    assert clean_user_agent(sent) == kept


@given(st.binary(max_size=600))
def test_whatever_comes_is_made_fit_to_be_shown(sent: bytes) -> None:
    """Printable ASCII of bounded length, and cleaning it again changes nothing."""
    kept = clean_user_agent(sent)
    assert len(kept) <= MAX_USER_AGENT
    assert set(kept) <= set(string.printable) - set("\t\n\r\x0b\x0c")
    assert clean_user_agent(kept.encode()) == kept


def test_same_client_is_told_by_program_and_version() -> None:
    """Certbot says how it was called; an upgrade is another client, and two strangers are the same by their texts."""
    assert is_same_client(CERTBOT, RENEWING)
    assert not is_same_client(CERTBOT, CERTBOT.replace("2.1.0", "5.8.0"))
    assert not is_same_client(CERTBOT, LEGO)
    assert is_same_client("curl/8", "curl/8")
    assert not is_same_client("curl/8", "curl/9")


def test_programs_have_one_line_each() -> None:
    """No name twice, and every release of rounds comes after the one before."""
    assert len({one.name for one in PROGRAMS}) == len(PROGRAMS)
    for program in PROGRAMS:
        assert list(program.rounds) == sorted(program.rounds, key=lambda one: one.since), program.name
