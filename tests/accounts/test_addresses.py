"""Whose an address is: one person's, once they have confirmed it; never theirs who only gave it."""

from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core.mail.backends.locmem import EmailBackend
from django.test import Client

from accounts.models import User
from accounts.services import UserService
from tests.accounts.people import PASSWORD, confirm_password, log_in, path_in, sign_up, words

SENT = "/accounts/confirm-email/"
RESET = "/accounts/password/reset/"
OTHER = "an0ther horse"


def reset(address: str) -> Any:
    return Client().post(RESET, {"email": address})


def add_address(client: Client, address: str) -> Any:
    """Ask for a new address, as somebody who has just given their password."""
    confirm_password(client)
    return client.post("/accounts/email/", {"email": address, "action_add": ""}, follow=True)


def is_reachable(name: str) -> bool:
    return UserService.reachable().filter(username=name).exists()


def answers(browser: Client, name: str, address: str, mails: list[Any]) -> list[Any]:
    """Return what somebody is told who signs up and then looks what has become of it."""
    seen = [sign_up(browser, name, address, OTHER)]
    seen += [log_in(Client(), who, OTHER) for who in (name, address)]
    seen += [sign_up(Client(), name, "else@example.com", OTHER)]
    return [
        (page.status_code, page.headers.get("Location"), len(mails))
        if page.status_code == 302
        else words(page).replace(name, "").replace(address, "")
        for page in seen
    ]


# Signing up


def test_two_who_sign_up_with_one_address_are_both_asked_to_confirm_it(
    db: None, mail_server: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    create = UserService.create_user

    def after_the_other(**given: str) -> User:
        """Emil signs up between the look at Dora's form and her account."""
        monkeypatch.setattr(UserService, "create_user", create)
        sign_up(Client(), "emil", "shared@example.com")
        return create(**given)

    monkeypatch.setattr(UserService, "create_user", after_the_other)
    sign_up(Client(), "dora", "shared@example.com")
    for name in ("dora", "emil"):
        assert log_in(Client(), name).headers["Location"] == SENT
        assert not is_reachable(name)

    Client().post(path_in(mail_server[0]))

    assert is_reachable("emil")
    assert log_in(Client(), "emil").headers["Location"] == "/"
    assert log_in(Client(), "dora").headers["Location"] == SENT
    assert not is_reachable("dora")


def test_newcomer_is_one_although_the_row_of_the_address_fails_to_be_written(
    db: None, mail_server: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as failing:
        failing.setattr(EmailAddress.objects, "create", fail)
        with pytest.raises(RuntimeError):
            sign_up(Client(), "dora", "dora@example.com")
    assert not User.objects.exists()


def test_sign_up_reveals_in_no_browser_whether_an_address_is_taken(
    ann: User, mail_server: list[Any]
) -> None:
    taken = answers(Client(), "dora", "ann@example.com", mail_server)
    sent = len(mail_server)
    free = answers(Client(REMOTE_ADDR="192.0.2.1"), "emil", "emil@example.com", mail_server)
    assert [item if isinstance(item, str) else item[:2] for item in taken] == [
        item if isinstance(item, str) else item[:2] for item in free
    ]
    assert [item[2] for item in taken if not isinstance(item, str)] == [
        item[2] - sent for item in free if not isinstance(item, str)
    ]
    assert mail_server[0].to == ["ann@example.com"]
    assert "It belongs to an account already." in mail_server[0].body
    assert log_in(Client(), "ann@example.com").headers["Location"] == "/"


def test_address_that_somebody_else_only_asked_for_is_free(
    anns: Client, mail_server: list[Any]
) -> None:
    add_address(anns, "dora@example.com")
    mail_server.clear()
    anns.post("/accounts/email/", {"email": "dora@example.com", "action_remove": ""})
    sign_up(Client(), "dora", "dora@example.com")
    assert EmailAddress.objects.get(email="dora@example.com").user.username == "dora"


# Addresses that wait


def test_address_that_waits_neither_logs_in_nor_resets_the_password(
    anns: Client, ann: User, mail_server: list[Any]
) -> None:
    add_address(anns, "new@example.com")
    assert "do not belong together" in words(log_in(Client(), "new@example.com"))
    mail_server.clear()
    reset("new@example.com")
    (mail,) = mail_server
    assert "No account has confirmed it." in mail.body
    assert log_in(Client(), "ann@example.com").headers["Location"] == "/"


def test_address_that_waits_takes_the_place_of_none_by_a_forged_form(
    anns: Client, ann: User, mail_server: list[Any]
) -> None:
    add_address(anns, "new@example.com")
    for action in ("action_primary", "action_remove"):
        for address in ("ann@example.com", "new@example.com"):
            if (action, address) != ("action_remove", "new@example.com"):
                anns.post("/accounts/email/", {"email": address, action: ""})
    ann.refresh_from_db()
    assert ann.email == "ann@example.com"
    assert EmailAddress.objects.filter(user=ann, email="new@example.com").exists()


def test_many_who_ask_for_one_address_cost_one_hash_and_one_mail(
    ann: User, mail_server: list[Any], hashed: list[str]
) -> None:
    User.objects.create_user("anna", email="ann@example.com", password=OTHER)
    for number in range(20):
        other = User.objects.create_user(f"other{number}", password=OTHER)
        EmailAddress.objects.create(user=other, email="ann@example.com")
    del hashed[:]
    assert log_in(Client(), "ann@example.com", "wrong").status_code == 200
    assert len(hashed) == 1
    assert log_in(Client(), "ann@example.com").headers["Location"] == "/"
    reset("ann@example.com")
    (mail,) = mail_server
    assert "Your user name is ann." in mail.body


# Who was there before


def test_person_without_a_confirmed_address_logs_in_and_confirms_it_once_for_receipts(
    anns: Client, ann: User, mail_server: list[Any]
) -> None:
    assert not is_reachable("ann")
    page = words(anns.get("/accounts/email/"))
    assert "It is not confirmed yet." in page
    anns.post("/accounts/email/", {"email": "ann@example.com", "action_send": ""})
    anns.post(path_in(mail_server[0]))
    assert is_reachable("ann")


# Capitals


@pytest.mark.parametrize("typed", ["Super@Example.org", "super@example.org", "SUPER@EXAMPLE.ORG"])
def test_address_with_capitals_logs_in_and_resets_however_it_is_typed(
    db: None, mail_server: list[Any], typed: str
) -> None:
    User.objects.create_superuser("boss", "Super@Example.org", PASSWORD)
    User.objects.update(email="Super@Example.org")  # As the version before has stored it.
    assert log_in(Client(), typed).headers["Location"] == "/"
    reset(typed)
    (mail,) = mail_server
    assert mail.to == ["super@example.org"]
    sign_up(Client(), "dora", typed)
    assert "It belongs to an account already." in mail_server[-1].body


def test_old_address_with_capitals_is_confirmed_as_others_are(
    anns: Client, ann: User, mail_server: list[Any]
) -> None:
    User.objects.update(email="Ann@Example.com")
    assert "This is your address already." in words(add_address(anns, "ann@example.com"))
    anns.post("/accounts/email/", {"email": "Ann@Example.com", "action_send": ""})
    anns.post(path_in(mail_server[0]))
    assert is_reachable("ann")


def test_addresses_are_stored_in_small_letters_whoever_gives_them(admin_client: Client) -> None:
    User.objects.create_superuser("boss", "Super@Example.org", PASSWORD)
    carl = User.objects.create_user("carl", password=PASSWORD)
    form = {
        "username": "carl",
        "email": "Carl@Example.org",
        "is_active": "on",
        "date_joined_0": "2026-01-01",
        "date_joined_1": "12:00:00",
    }
    admin_client.post(f"/admin/accounts/user/{carl.pk}/change/", form)
    UserService.create_user(username="dora", password=PASSWORD, email="Dora@Example.org")
    stored = set(User.objects.filter(email__endswith="example.org").values_list("email", flat=True))
    assert stored == {"super@example.org", "carl@example.org", "dora@example.org"}


def test_letters_that_a_database_takes_for_others_are_no_other_address(
    db: None, mail_server: list[Any]
) -> None:
    User.objects.create_user("mike", email="mike@example.com", password=PASSWORD)
    assert UserService.owner_of(address="m\N{LATIN SMALL LETTER DOTLESS I}ke@example.com") is None
    reset("mi\N{KELVIN SIGN}e@example.com")
    assert {address for mail in mail_server for address in mail.to} <= {"mike@example.com"}


# Lengths


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/accounts/login/", "login"),
        ("/accounts/signup/", "email"),
        (RESET, "email"),
        ("/accounts/email/", "email"),
    ],
)
@pytest.mark.parametrize("length", [255, 330, 50_001])
def test_name_or_address_that_is_too_long_is_told_at_its_field(
    client: Client, ann: User, mail_server: list[Any], path: str, field: str, length: int
) -> None:
    if path == "/accounts/email/":
        log_in(client)
    text = f"{'x' * (length - 12)}@example.com"
    form = {field: text, "password": PASSWORD, "password1": PASSWORD, "username": "dora"}
    page = client.post(path, {**form, "action_add": ""})
    assert page.status_code == 200
    assert "at most 254 characters" in words(page)
    assert not mail_server


# Mails that are not sent


def test_mail_that_the_server_did_not_take_is_sent_at_the_next_try(
    client: Client, db: None, mail_server: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise ConnectionRefusedError

    with monkeypatch.context() as down:
        down.setattr(EmailBackend, "send_messages", refuse)
        assert sign_up(client, "dora", "dora@example.com").status_code == 503
    page = words(log_in(Client(), "dora", follow=True))
    assert "is on its way to dora@example.com" in page
    assert [mail.to for mail in mail_server] == [["dora@example.com"]]


def test_mail_that_is_held_back_is_not_said_to_be_sent(
    client: Client, ann: User, mail_server: list[Any]
) -> None:
    held_back = "within the last minutes, so we send no other yet"
    sign_up(Client(), "dora", "dora@example.com")
    page = words(log_in(Client(), "dora", follow=True))
    assert held_back in page
    assert "on its way" not in page
    log_in(client)
    for page in (
        words(add_address(client, "dora@example.com")),
        words(
            client.post(
                "/accounts/email/", {"email": "dora@example.com", "action_send": ""}, follow=True
            )
        ),
    ):
        assert held_back in page
        assert "on its way" not in page
    assert len(mail_server) == 1
