"""What a directory says of the CA (RFC 8555 7.1.1)."""

from __future__ import annotations

from dayfly.core.acme.directory import directory_meta
from dayfly.core.settings.provisioners import Provisioner, ProvisionerType


def test_meta_has_what_is_configured__rfc8555_7_1_1() -> None:
    """And nothing that is not; the binding is told where it is required."""
    plain = directory_meta(Provisioner("acme", ProvisionerType.ACME), ("service",))
    assert list(plain) == ["profiles"]
    full = Provisioner(
        "acme",
        ProvisionerType.ACME,
        require_eab=True,
        terms_of_service="https://a.example/t",
        website="https://a.example",
        caa_identities=("a.example",),
    )
    assert directory_meta(full, ("service",)) == {
        "termsOfService": "https://a.example/t",
        "website": "https://a.example",
        "caaIdentities": ("a.example",),
        "externalAccountRequired": True,
        "profiles": plain["profiles"],
    }
