"""Accounts: contacts, creation, update, deactivation (RFC 8555 7.3)."""

from __future__ import annotations

import pytest

from dayfly.core.acme.accounts import (
    MAX_CONTACT_LENGTH,
    MAX_CONTACTS,
    NOTED_FOR,
    check_agreement,
    check_binding_is_there,
    check_contacts,
    check_usable,
    plan_account_update,
    plan_client_note,
    plan_new_account,
)
from dayfly.core.acme.objects import AccountStatus
from dayfly.core.acme.payloads import AccountUpdate, NewAccount
from dayfly.core.events import AccountCreated, AccountDeactivated, AccountUpdated
from dayfly.core.policy.lifetimes import SECOND
from dayfly.core.problems import (
    ExternalAccountRequired,
    InvalidContact,
    Malformed,
    Unauthorized,
    UnsupportedContact,
    UserActionRequired,
)
from factories import NOW, account, account_key

MAIL = "mailto:ops@internal.example"
TERMS = "https://ca.internal.example/terms"


@pytest.mark.parametrize("contacts", [(), (MAIL,), ("mailto:a+b@c",), (MAIL,) * MAX_CONTACTS])
def test_plain_addresses_are_taken__rfc8555_7_3(contacts: tuple[str, ...]) -> None:
    """None, one and ten plain addresses pass."""
    check_contacts(contacts)


@pytest.mark.parametrize("contact", ["tel:+4912345", "", "ops@internal.example", "MAILTO:a@b", "https://a.example"])
def test_other_scheme_is_unsupported__acme_a7(contact: str) -> None:
    """Only mailto: is known."""
    with pytest.raises(UnsupportedContact):
        check_contacts((contact,))


@pytest.mark.parametrize(
    "contact",
    [
        "mailto:",
        "mailto:nobody",
        "mailto:a@b,c@d",
        "mailto:a@b?subject=x",
        "mailto:a@b\r\nBcc: c@d",
        "mailto:a@b\n",
        "mailto:ä@b",
        "mailto:a b@c",
        f"mailto:a@{'b' * 64}",
        f"mailto:a@{'b.' * MAX_CONTACT_LENGTH}b",
    ],
)
def test_other_than_one_plain_address_is_invalid__acme_a7(contact: str) -> None:
    """Empty, two, header fields, line ends, and what is too long."""
    with pytest.raises(InvalidContact):
        check_contacts((contact,))


def test_five_hundred_contacts_are_too_many__acme_a7() -> None:
    """The number has a cap."""
    with pytest.raises(InvalidContact, match="at most 10"):
        check_contacts((MAIL,) * 500)


def test_new_account_is_what_was_asked_for__rfc8555_7_3() -> None:
    """Key, contacts and agreement are kept; the event tells of it."""
    key = account_key()
    request = NewAccount(contact=(MAIL,), terms_of_service_agreed=True)
    made, event = plan_new_account(request, key, account_id=9, provisioner="acme", now=NOW)
    assert (made.id, made.provisioner, made.thumbprint, made.jwk) == (9, "acme", key.thumbprint, key.jwk)
    assert (made.status, made.contacts, made.terms_agreed) == (AccountStatus.VALID, (MAIL,), True)
    assert event == AccountCreated(NOW, 9, "acme", key.thumbprint)


def test_new_account_with_a_bad_contact_is_refused__rfc8555_7_3() -> None:
    """Nothing is planned for it."""
    with pytest.raises(UnsupportedContact):
        plan_new_account(NewAccount(contact=("tel:1",)), account_key(), account_id=9, provisioner="acme", now=NOW)


def test_terms_that_nobody_agreed_to_need_a_person__rfc8555_7_3_3() -> None:
    """Where there are terms, newAccount agrees to them or is 403, with where they stand."""
    with pytest.raises(UserActionRequired, match="must be agreed to") as caught:
        check_agreement(NewAccount(), TERMS)
    assert (caught.value.http_status, caught.value.terms) == (403, TERMS)
    check_agreement(NewAccount(terms_of_service_agreed=True), TERMS)
    check_agreement(NewAccount(), "")


def test_required_binding_must_be_there__rfc8555_7_3_4() -> None:
    """Its absence is told apart from a binding that does not hold; where none is required, none is missed."""
    with pytest.raises(ExternalAccountRequired, match="ask the CA's operator"):
        check_binding_is_there(NewAccount(), required=True)
    check_binding_is_there(NewAccount(external_account_binding={}), required=True)
    check_binding_is_there(NewAccount(), required=False)


def test_contacts_can_be_changed__rfc8555_7_3_2() -> None:
    """Other contacts make an update, and its event."""
    plan = plan_account_update(account(), AccountUpdate(contact=(MAIL,)), now=NOW)
    assert plan is not None
    assert plan[0].contacts == (MAIL,)
    assert plan[1] == AccountUpdated(NOW, 7, "acme")


@pytest.mark.parametrize(
    "update", [AccountUpdate(), AccountUpdate(contact=(MAIL,)), AccountUpdate(status="valid")], ids=repr
)
def test_update_that_changes_nothing_plans_nothing__acme_a8(update: AccountUpdate) -> None:
    """Absent members, the same contacts, the same status."""
    assert plan_account_update(account(contacts=(MAIL,)), update, now=NOW) is None


def test_update_checks_contacts__acme_a7() -> None:
    """A bad contact changes nothing."""
    with pytest.raises(InvalidContact):
        plan_account_update(account(), AccountUpdate(contact=("mailto:",)), now=NOW)


def test_deactivation_is_for_good__rfc8555_7_3_6() -> None:
    """The account is deactivated, whatever else stands in the update."""
    plan = plan_account_update(account(), AccountUpdate(status="deactivated", contact=("tel:1",)), now=NOW)
    assert plan is not None
    assert plan[0].status is AccountStatus.DEACTIVATED
    assert plan[1] == AccountDeactivated(NOW, 7, "acme")


@pytest.mark.parametrize("status", ["revoked", "", "Deactivated", "5"])
def test_other_status_is_malformed__acme_a10(status: str) -> None:
    """A client can only give its account up."""
    with pytest.raises(Malformed, match="deactivated"):
        plan_account_update(account(), AccountUpdate(status=status), now=NOW)


def test_client_is_noted_when_it_is_another_one__acme_15() -> None:
    """With the moment; one that says nothing, the same one, and one right after another, change nothing."""
    old, new = "uacme/1.7.4 (x)", "uacme/1.7.6 (x)"
    first = plan_client_note(account(), old, now=NOW)
    assert first is not None
    assert (first.user_agent, first.user_agent_at) == (old, NOW)
    assert plan_client_note(first, "", now=NOW + NOTED_FOR) is None
    assert plan_client_note(first, old, now=NOW + NOTED_FOR) is None
    assert plan_client_note(first, "uacme/1.7.4 (y)", now=NOW + NOTED_FOR) is None
    assert plan_client_note(first, new, now=NOW + NOTED_FOR - SECOND) is None
    later = plan_client_note(first, new, now=NOW + NOTED_FOR)
    assert later is not None
    assert (later.user_agent, later.user_agent_at) == (new, NOW + NOTED_FOR)


def test_account_that_is_not_valid_is_401__acme_a9() -> None:
    """Deactivated and revoked accounts may do nothing; a valid one may."""
    check_usable(account())
    for status in (AccountStatus.DEACTIVATED, AccountStatus.REVOKED):
        with pytest.raises(Unauthorized) as caught:
            check_usable(account(status=status))
        assert caught.value.http_status == 401
