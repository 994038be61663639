"""Accounts: what may be created and changed (RFC 8555 7.3).

Rules: a contact is one `mailto:` address without header fields; at most ten of them; an account belongs to one
provisioner and is found there by its key's thumbprint.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from dayfly.core.acme.clients import is_same_client
from dayfly.core.acme.objects import Account, AccountStatus
from dayfly.core.acme.payloads import AccountUpdate, NewAccount
from dayfly.core.events import AccountCreated, AccountDeactivated, AccountUpdated
from dayfly.core.frozen import replace
from dayfly.core.jose.jwk import PublicKey
from dayfly.core.problems import (
    ExternalAccountRequired,
    InvalidContact,
    Malformed,
    Unauthorized,
    UnsupportedContact,
    UserActionRequired,
)

MAX_CONTACTS = 10
MAX_CONTACT_LENGTH = 320
NOTED_FOR = timedelta(hours=1)  # so long a note of an account's client stands

# One address, no quoting, no header fields: what a person writes, and nothing that a mailer would interpret.
_MAILTO = re.compile(r"mailto:[A-Za-z0-9.!#$&'*+/=^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})*")


def check_contacts(contacts: tuple[str, ...]) -> None:
    """Raise InvalidContact, or UnsupportedContact for another scheme than mailto: (RFC 8555 7.3)."""
    if len(contacts) > MAX_CONTACTS:
        raise InvalidContact(f"{len(contacts)} contacts; at most {MAX_CONTACTS} are kept")
    for contact in contacts:
        if not contact.startswith("mailto:"):
            raise UnsupportedContact("only mailto: contacts are supported")
        if len(contact) > MAX_CONTACT_LENGTH or _MAILTO.fullmatch(contact) is None:
            raise InvalidContact("a contact must be mailto: with one plain address and no header fields")


def check_agreement(request: NewAccount, terms: str) -> None:
    """Raise UserActionRequired where there are terms of service, at the URL `terms`, and no word of agreement.

    RFC 8555 7.3.3.
    """
    if terms and not request.terms_of_service_agreed:
        raise UserActionRequired(f"the terms of service at {terms} must be agreed to", terms=terms)


def check_binding_is_there(request: NewAccount, *, required: bool) -> None:
    """Raise ExternalAccountRequired where an external account is required, and none is named (RFC 8555 7.3.4)."""
    if required and request.external_account_binding is None:
        raise ExternalAccountRequired(
            "this provisioner makes accounts only with an external account binding; ask the CA's operator for a key"
        )


def plan_new_account(
    request: NewAccount, key: PublicKey, *, account_id: int, provisioner: str, now: datetime, user_agent: str = ""
) -> tuple[Account, AccountCreated]:
    """The account to create for a key that has none yet (RFC 8555 7.3)."""
    check_contacts(request.contact)
    account = Account(
        id=account_id,
        provisioner=provisioner,
        thumbprint=key.thumbprint,
        jwk=key.jwk,
        created_at=now,
        contacts=request.contact,
        terms_agreed=request.terms_of_service_agreed,
        user_agent=user_agent,
        user_agent_at=now if user_agent else None,
    )
    return account, AccountCreated(now, account_id, provisioner, key.thumbprint)


def plan_account_update(
    account: Account, update: AccountUpdate, *, now: datetime
) -> tuple[Account, AccountUpdated | AccountDeactivated] | None:
    """What an update makes of the account, None where it changes nothing (RFC 8555 7.3.2, 7.3.6)."""
    if update.status == AccountStatus.DEACTIVATED:
        event = AccountDeactivated(now, account.id, account.provisioner)
        return replace(account, status=AccountStatus.DEACTIVATED), event
    if update.status not in {None, account.status}:
        raise Malformed("an account's status can only be changed to deactivated")
    if update.contact is None or update.contact == account.contacts:
        return None
    check_contacts(update.contact)
    return replace(account, contacts=update.contact), AccountUpdated(now, account.id, account.provisioner)


def plan_client_note(account: Account, user_agent: str, *, now: datetime) -> Account | None:
    """The account with the client that orders now; None where it is known, or another one was noted a moment ago.

    Every note makes the account another row, and whoever relied on the old one starts over: an account that is shared
    by two clients shall not do that at every order.
    """
    if not user_agent or is_same_client(account.user_agent, user_agent):
        return None
    if account.user_agent_at is not None and now - account.user_agent_at < NOTED_FOR:
        return None
    return replace(account, user_agent=user_agent, user_agent_at=now)


def check_usable(account: Account) -> None:
    """Raise Unauthorized, 401, for an account that is deactivated or revoked (RFC 8555 7.3.6)."""
    if account.status is not AccountStatus.VALID:
        raise Unauthorized(f"the account is {account.status}", status=401)
