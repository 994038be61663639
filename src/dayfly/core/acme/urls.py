"""The URLs of one provisioner.

Rules: every URL that is given out is made here, and none is taken from a request.
"""

from __future__ import annotations

import msgspec

from dayfly.core.acme.objects import (
    AuthorizationRef,
    render_authorization_ref,
)
from dayfly.core.ids import render_id


class Urls(msgspec.Struct, frozen=True, gc=False):
    """All URLs of one provisioner under one base URL, as `https://ca.internal.example:9000/acme/internal-acme`."""

    base: str

    @property
    def directory(self) -> str:
        """RFC 8555 7.1.1."""
        return self.base + "/directory"

    @property
    def new_nonce(self) -> str:
        """RFC 8555 7.2."""
        return self.base + "/new-nonce"

    @property
    def new_account(self) -> str:
        """RFC 8555 7.3."""
        return self.base + "/new-account"

    @property
    def new_authorization(self) -> str:
        """RFC 8555 7.4.1."""
        return self.base + "/new-authz"

    @property
    def new_order(self) -> str:
        """RFC 8555 7.4."""
        return self.base + "/new-order"

    @property
    def renewal_info(self) -> str:
        """What a client puts a slash and a certificate's identifier behind (RFC 9773 4.1)."""
        return self.base + "/renewal-info"

    @property
    def key_change(self) -> str:
        """RFC 8555 7.3.5."""
        return self.base + "/key-change"

    @property
    def revoke_cert(self) -> str:
        """RFC 8555 7.6."""
        return self.base + "/revoke-cert"

    def account(self, account_id: int) -> str:
        """The account's URL, which is also its `kid`."""
        return f"{self.base}/account/{render_id(account_id)}"

    def orders(self, account_id: int) -> str:
        """The account's list of orders (RFC 8555 7.1.2.1)."""
        return f"{self.base}/account/{render_id(account_id)}/orders"

    def order(self, order_id: int) -> str:
        """The order's URL."""
        return f"{self.base}/order/{render_id(order_id)}"

    def finalize(self, order_id: int) -> str:
        """Where the order is finalized."""
        return f"{self.base}/order/{render_id(order_id)}/finalize"

    def certificate(self, certificate_id: int) -> str:
        """Where the certificate is downloaded."""
        return f"{self.base}/certificate/{render_id(certificate_id)}"

    def alternate(self, certificate_id: int, number: int) -> str:
        """Where the certificate is downloaded with another chain (RFC 8555 7.4.2); they count from 1."""
        return f"{self.base}/certificate/{render_id(certificate_id)}/{number}"

    def authorization(self, ref: AuthorizationRef) -> str:
        """The authorization's URL."""
        return f"{self.base}/authz/{render_authorization_ref(ref)}"

    def challenge(self, ref: AuthorizationRef, challenge_type: str) -> str:
        """The challenge's URL; one of each type stands in an authorization, so the type is its id."""
        return f"{self.base}/challenge/{render_authorization_ref(ref)}/{challenge_type}"
