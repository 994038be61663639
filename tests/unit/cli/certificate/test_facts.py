"""What is told of extensions that the library has no name for."""

from __future__ import annotations

from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from dayfly.cli.certificate.facts import describe
from dayfly.cli.certificate.renderings import render_text
from factories import NOW, ec_key

NO_REVOCATION, STEP, NAMELESS = "2.5.29.56", "1.3.6.1.4.1.37476.9000.64.1", "1.3.6.1.4.1.99999.1"


def test_the_extensions_that_we_write_have_names__rfc9608() -> None:
    """Words for a person, the identifier for a program; what nobody knows keeps its number."""
    key = ec_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.Name([]))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(hours=1))
    )
    for oid, value in ((NO_REVOCATION, b"\x05\x00"), (STEP, b"\x30\x00"), (NAMELESS, b"\x05\x00")):
        builder = builder.add_extension(x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value), critical=False)
    facts = describe(builder.sign(key, SHA256()))
    assert facts["extensions"]["no_revocation_available"] == {"oid": NO_REVOCATION}
    assert facts["extensions"]["step_provisioner"] == {"oid": STEP}
    text = render_text(facts)
    assert "No Revocation Available:" in text
    assert "Step Provisioner:" in text
    assert f"{NAMELESS}:" in text
