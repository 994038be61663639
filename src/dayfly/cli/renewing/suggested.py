"""Where a CA says when to renew: renewalInfo in the directory of its first ACME provisioner (RFC 9773 4).

Rules: the CA's list of provisioners names it, since a pair knows its CA's URL and no directory; any of them answers for
every certificate of the CA; no account is made, and nothing is shown.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec

from dayfly.cli.ca_target import Target
from dayfly.cli.provisioning import list_provisioners
from dayfly.client.acme import ACMEClient
from dayfly.client.renewals import Suggestion


def suggested(target: Target, named: str) -> Suggestion | None:
    """When the CA wants the certificate of this name renewed; None where it has no renewal information. ClientError."""
    with target.connect() as transport:
        acme = next((one for one in list_provisioners(transport, target.url) if one.type == "ACME"), None)
        if acme is None:
            return None
        directory = f"{target.url}/acme/{acme.name}/directory"
        return ACMEClient(transport, directory, ec.generate_private_key(ec.SECP256R1())).renewal_info(named)
