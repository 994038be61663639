"""A profile is known by the hash of its content, which stands with each certificate."""

from __future__ import annotations

from datetime import timedelta

from dayfly.core.frozen import replace
from dayfly.core.x509.profile import CLIENT_AUTH, SERVER_TLS, SERVICE, profile_hash


def test_profile_s_hash_is_that_of_its_content__s3() -> None:
    """The same content has the same hash, and any other content another."""
    others = (
        SERVER_TLS,
        replace(SERVICE, name="other"),
        replace(SERVICE, ekus=(CLIENT_AUTH,)),
        replace(SERVICE, include_provisioner=False),
        replace(SERVICE, no_rev_avail_up_to=timedelta(days=6)),
        replace(SERVICE, key_encipherment=True),
        replace(SERVICE, name="device"),
    )
    hashes = [profile_hash(one) for one in (SERVICE, *others)]
    assert len(set(hashes)) == len(hashes)
    assert profile_hash(replace(SERVICE)) == hashes[0]
    assert all(len(one) == 64 for one in hashes)
