"""The two ways to a certificate: by a token that a provisioner's key signs, and by ACME.

Rules: the CA's list of provisioners decides which way it is; a token that is made here is good for the one request
that goes with it (`cnf`); both ways end in the same check of what came.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from dayfly.cli.acme_flow import Order, obtain
from dayfly.cli.answers import HeldKey, Issued, Wanted, check_issued, check_issued_pem, now
from dayfly.cli.ca_target import Target, find_ca
from dayfly.cli.given_token import GivenToken, target_of
from dayfly.cli.output import tick
from dayfly.cli.provisioning import Signer, TokenFor, choose, list_provisioners, mint, open_key
from dayfly.cli.requesting import parse_names, parse_time
from dayfly.client.step import request_certificate
from dayfly.core.identifiers import Identifier
from dayfly.core.step.audiences import Endpoint
from dayfly.core.step.requests import SignRequest
from dayfly.errors import UsageError


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked for: subject, names, and the request (DER) with our key's public half."""

    subject: str
    names: tuple[Identifier, ...]
    csr: bytes
    key: HeldKey


class Way(Protocol):
    """How a certificate is got from one CA."""

    def names(self, subject: str, sans: Sequence[str]) -> tuple[Identifier, ...]:
        """The names that the certificate shall have; UsageError."""
        ...

    def issue(self, asked: Asked, options: Mapping[str, Any]) -> Issued:
        """The certificate, verified; ClientError."""
        ...


def find_way(home: str | None, options: dict[str, Any], given: GivenToken | None) -> Way:
    """By the token that was given; else by another CA's ACME directory; else as the provisioner's type says."""
    if given is not None:
        if options["directory"]:
            raise UsageError("--token and --acme are two different ways", hint="leave one of them out")
        return ByToken(target_of(given, home, options), given=given)
    target = find_ca(home, options["ca_url"], options["root"])
    if options["directory"]:
        tick("Provisioner", f"{options['directory']} (ACME)")
        return ByACME(target, str(options["directory"]))
    with target.connect() as transport:
        found = list_provisioners(transport, target.url)
        chosen = choose(found, types=("JWK", "ACME"), name=options["provisioner"], kid=options["kid"])
        if chosen.type == "ACME":
            return ByACME(target, f"{target.url}/acme/{chosen.name}/directory")
        return ByToken(target, signer=open_key(transport, target.url, chosen, home=home, options=options))


@dataclass(frozen=True, slots=True)
class ByToken:
    """POST /sign with a one-time token: one that was `given`, or one that the `signer` makes."""

    target: Target
    given: GivenToken | None = None
    signer: Signer | None = None

    def names(self, subject: str, sans: Sequence[str]) -> tuple[Identifier, ...]:
        """Those of the token, else those that are asked for, else the subject."""
        if self.given is not None:
            return parse_names(self.given.sans or (subject,))
        return parse_names(sans or (subject,))

    def issue(self, asked: Asked, options: Mapping[str, Any]) -> Issued:
        """Make the token, send the request, verify what came."""
        tick("CA", self.target.url)
        request = SignRequest(
            asked.csr,
            self._token(asked),
            parse_time(options["not_before"], "--not-before"),
            parse_time(options["not_after"], "--not-after"),
        )
        with self.target.connect() as transport:
            answer = request_certificate(transport, self.target.url, request)
        wanted = Wanted(asked.key, asked.names, self.target.roots())
        return check_issued(answer.leaf, answer.intermediates, wanted, at=now())

    def _token(self, asked: Asked) -> str:
        if self.given is not None:
            return self.given.text
        if self.signer is None:
            raise UsageError("there is neither a token nor a key to make one with")
        sans = tuple(one.value for one in asked.names)
        return mint(self.signer, self.target, TokenFor(Endpoint.SIGN, asked.subject, sans, csr=asked.csr), now=now())


@dataclass(frozen=True, slots=True)
class ByACME:
    """An order at an ACME directory."""

    target: Target
    directory: str

    def names(self, subject: str, sans: Sequence[str]) -> tuple[Identifier, ...]:
        """The subject and the names that are asked for, as step has it: each of them is validated."""
        return parse_names((subject, *sans))

    def issue(self, asked: Asked, options: Mapping[str, Any]) -> Issued:
        """Order, prove, finalize, verify what came."""
        tick("CA", self.target.url)
        started: datetime = now()
        chain = obtain(self.target, Order(self.directory, asked.names, asked.csr), options, now=started)
        return check_issued_pem(chain, Wanted(asked.key, asked.names, self.target.roots()), at=now())
