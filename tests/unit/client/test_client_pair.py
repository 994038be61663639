"""A pair that is shown to a CA, and roots that are text: what is loaded, and what each mistake says."""

from __future__ import annotations

import http.client
import ssl
from pathlib import Path

import pytest

from dayfly.client.transport import ClientPair, Transport, present, trusting_nobody, trusting_text
from dayfly.errors import ClientError
from factories import NAME, ec_key
from small_pki import PKI, key_pem, write_pair

CA = PKI()


@pytest.mark.parametrize("password", [None, b"secret"], ids=["plain", "encrypted"])
def test_pair_is_loaded_with_its_password(tmp_path: Path, password: bytes | None) -> None:
    """An encrypted key too; and the password is never shown."""
    key = ec_key()
    files = write_pair(tmp_path, CA, CA.leaf(NAME, key=key), key, password=password)
    pair = ClientPair(files.crt, files.key, password)
    present(trusting_nobody(), pair)
    assert "secret" not in repr(pair)


@pytest.mark.parametrize(
    ("case", "says"),
    [("another key", "do not belong together"), ("no key", "No such file"), ("no password", "cannot be shown")],
)
def test_pair_that_cannot_be_shown_is_told(tmp_path: Path, case: str, says: str) -> None:
    """Without a question at the terminal, above all: OpenSSL would ask for a password there."""
    key = ec_key()
    files = write_pair(tmp_path, CA, CA.leaf(NAME, key=key), key)
    if case == "another key":
        files.key.write_bytes(key_pem(ec_key()))
    elif case == "no key":
        files.key.unlink()
    else:
        files.key.write_bytes(key_pem(key, password=b"secret"))
    with pytest.raises(ClientError, match=says):
        present(trusting_nobody(), ClientPair(files.crt, files.key))


def test_roots_that_are_text_are_the_only_ones_trusted() -> None:
    """A root that a token brought; text that is none is refused."""
    context = trusting_text(CA.root_pem)
    assert [one["serialNumber"] for one in context.get_ca_certs()] == ["0B"]
    assert context.verify_mode is ssl.CERT_REQUIRED
    with pytest.raises(ClientError, match="cannot be read"):
        trusting_text("junk")


def test_alert_of_the_server_is_told_as_what_it_is() -> None:
    """A CA that does not take the certificate ends the handshake; the words say so."""
    error = ssl.SSLError(1, "[SSL: TLSV1_ALERT_UNKNOWN_CA] tlsv1 alert unknown ca (_ssl.c:2580)")
    error.reason = "TLSV1_ALERT_UNKNOWN_CA"
    told = Transport("https://ca.test:9000", trusting_nobody())._told(error)
    assert "ended the TLS handshake: tlsv1 alert unknown ca" in told.message
    assert "if a certificate was shown" in told.hint


@pytest.mark.parametrize("shows", [True, False])
def test_closed_connection_may_mean_that_the_certificate_is_not_taken(shows: bool) -> None:
    """With TLS 1.3 the server's no comes after the handshake, or not at all."""
    transport = Transport("https://ca.test:9000", trusting_nobody(), shows_pair=shows)
    told = transport._told(http.client.RemoteDisconnected("closed"))
    assert ("a certificate was shown" in told.message) is shows


def test_refused_connection_stays_what_it_is() -> None:
    """Nothing was shown to anybody: the CA does not run."""
    told = Transport("https://ca.test:9000", trusting_nobody(), shows_pair=True)._told(ConnectionRefusedError())
    assert "connection refused" in told.message
