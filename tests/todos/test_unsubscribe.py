"""The end of receipts from a link in the mail."""

import pytest
from django.core import signing
from django.test import Client

from accounts.models import User
from accounts.services import UserService
from tests.factories import wants_receipt
from todos.receipts.links import unsubscribe_link

ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@pytest.fixture
def link(alice: User) -> str:
    """The link in Alice's mails, without the site."""
    return "/" + unsubscribe_link(wants_receipt(alice)).split("/", maxsplit=3)[3]


@pytest.fixture
def mail_program(db: None) -> Client:
    """A program without cookies, which checks of forms would refuse."""
    return Client(enforce_csrf_checks=True)


def wants(user: User) -> bool:
    """Say whether a person wants receipts."""
    return User.objects.get(pk=user.pk).wants_receipt


def test_one_click_of_a_mail_program_ends_receipts(
    mail_program: Client, alice: User, bob: User, link: str
) -> None:
    wants_receipt(bob)
    for _ in range(2):
        answer = mail_program.post(link, ONE_CLICK)
        assert (answer.status_code, answer.content) == (200, b"You get no more receipts.")
    assert (wants(alice), wants(bob)) == (False, True)


def test_looking_at_the_page_changes_nothing_and_its_button_does(
    client: Client, alice: User, link: str
) -> None:
    page = client.get(link)
    assert page.status_code == 200
    assert "Stop these mails" in page.text
    assert wants(alice)
    assert client.head(link).status_code == 200
    assert wants(alice)

    page = client.post(link, follow=True)

    assert page.redirect_chain == [(link, 302)]
    assert "You get no more receipts." in page.text
    assert "Stop these mails" not in page.text
    assert not wants(alice)


def test_the_page_tells_whoever_has_the_link_nothing_about_its_person(
    client: Client, alice: User, link: str
) -> None:
    assert alice.username not in client.get(link).text
    assert alice.email not in client.get(link).text


def test_form_is_refused_without_its_token(mail_program: Client, alice: User, link: str) -> None:
    assert mail_program.post(link).status_code == 403
    assert mail_program.post(link, {"List-Unsubscribe": "Two-Clicks"}).status_code == 403
    assert wants(alice)


def test_it_works_for_whoever_is_logged_in_as_somebody_else(
    client: Client, alice: User, bob: User, link: str
) -> None:
    client.force_login(wants_receipt(bob))
    assert client.post(link).status_code == 302
    assert (wants(alice), wants(bob)) == (False, True)


def test_tampered_link_leads_nowhere(
    mail_program: Client, alice: User, bob: User, link: str
) -> None:
    signed = link.split("/")[2]
    others = [
        signed.replace(f"{alice.pk}:", f"{bob.pk}:"),
        signed[:-1],
        str(alice.pk),
        signing.Signer().sign(str(alice.pk)),
        "x",
    ]
    for token in others:
        assert mail_program.get(f"/unsubscribe/{token}/").status_code == 404, token
        assert mail_program.post(f"/unsubscribe/{token}/", ONE_CLICK).status_code == 404, token
    assert wants(alice)


def test_after_the_account_is_gone_there_is_no_such_page(
    mail_program: Client, alice: User, link: str
) -> None:
    UserService.delete(user=alice)
    assert mail_program.get(link).status_code == 404
    assert mail_program.post(link, ONE_CLICK).status_code == 404
