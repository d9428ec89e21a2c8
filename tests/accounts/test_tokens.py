"""Tokens: who has one comes in as somebody, until it expires or is revoked; nobody else does."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from datetime import timedelta
from functools import partial
from html import unescape
from itertools import chain
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core.exceptions import ValidationError
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pytest_django import Settings

from accounts.models import Access, Session, Token, User
from accounts.services import UserService
from accounts.tokens.services import MAX_TOKENS, NOTED_EVERY, TokenNotFound, TokenService
from tests.accounts.conftest import Events
from tests.accounts.people import PASSWORD, confirm_password, log_in, words
from tests.examples import examples
from tests.rows import traces
from tests.todos.locks import in_another_connection

PREFERENCES, TOKENS = "/preferences/", "/accounts/tokens/"
REAUTHENTICATE = f"/accounts/reauthenticate/?next={TOKENS}"
MADE = "Your new token"

#: As anybody can read who looks for one in a page.
SECRET = re.compile(r"tidy_[0-9A-Za-z]{8}_[0-9A-Za-z]{32}")

FORM = {"name": "Backup at night", "access": "read", "expires_in": "90", "next": PREFERENCES}

type Queries = Callable[[int], AbstractContextManager[Any]]


@pytest.fixture
def hers(anns: Client) -> Client:
    """Ann's browser: she has just given her password once more."""
    confirm_password(anns)
    return anns


def make(client: Client, **changes: str) -> Any:
    """Send the form of a new token."""
    return client.post(TOKENS, {**FORM, **changes})


def secret_in(page: Any) -> str:
    """Return the one secret that a page shows."""
    found = {str(secret) for secret in SECRET.findall(page.content.decode())}
    (secret,) = found
    return secret


def shown(client: Client) -> str:
    """Return what the preferences say of tokens."""
    text = words(client.get(PREFERENCES))
    return text[text.index("Tokens With a token") : text.index("Everything, as JSON")]


def expire(token: Token) -> None:
    Token.objects.filter(pk=token.pk).update(expires_at=timezone.now() - timedelta(seconds=1))


# The service


def test_token_is_found_by_its_secret_with_its_person_in_one_query(
    ann: User, django_assert_num_queries: Queries
) -> None:
    made = TokenService.create(user=ann, name=" My \t script ", access=Access.WRITE)
    with django_assert_num_queries(1):
        found = TokenService.find(secret=made.secret)
        assert found == made.token
        assert found.user == ann
    assert (found.name, found.access, found.expires_at) == ("My script", Access.WRITE, None)
    assert SECRET.fullmatch(made.secret)


@hypothesis_settings(
    max_examples=examples(200),
    deadline=None,
    # No example writes anything.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@example("")
@example("\0")
@example("tidy_" + "a" * 8 + "_" + "b" * 31 + "\0")
@example("tidy_" + "a" * 8 + "_" + "b" * 32 + "\n")
@example("tidy_" + "\N{ARABIC-INDIC DIGIT ONE}" * 8 + "_" + "b" * 32)
@example("tidy_" + "a" * 8 + "_" + "\N{FULLWIDTH LATIN SMALL LETTER A}" * 32)
@example("tidy_" + "\ud800" * 8 + "_" + "b" * 32)
@example("x" * 1_000_000)
@example("tidy_" + "a" * 1_000_000)
@given(text=st.text(st.characters(codec=None)) | st.from_regex(r"tidy_\w{8}_\w{31,33}"))
def test_text_that_is_no_secret_finds_nothing_and_asks_no_database(text: str) -> None:
    if SECRET.fullmatch(text) is None:
        # Without the mark `django_db`, a query fails the test.
        assert TokenService.find(secret=text) is None


def test_secret_with_another_end_or_beginning_finds_nothing(ann: User) -> None:
    secret = TokenService.create(user=ann, name="Script", access=Access.READ).secret
    other = "a" if secret[-1] != "a" else "b"
    for wrong in (secret[:-1] + other, secret + "a", " " + secret, secret.swapcase()):
        assert TokenService.find(secret=wrong) is None
    assert TokenService.find(secret=f"tidy_{'0' * 8}_{secret[14:]}") is None


def test_digest_of_a_token_opens_nothing(ann: User) -> None:
    made = TokenService.create(user=ann, name="Script", access=Access.READ)
    stolen = f"tidy_{made.token.prefix}_{made.token.digest[:32]}"
    assert SECRET.fullmatch(stolen)
    assert TokenService.find(secret=stolen) is None


def test_token_works_until_it_expires(ann: User) -> None:
    soon = timezone.now() + timedelta(days=1)
    made = TokenService.create(user=ann, name="Script", access=Access.READ, expires_at=soon)
    assert not made.token.is_expired
    assert TokenService.find(secret=made.secret) == made.token

    expire(made.token)

    assert TokenService.find(secret=made.secret) is None
    made.token.refresh_from_db()
    assert made.token.is_expired


def test_token_of_somebody_who_may_not_log_in_finds_nothing(ann: User) -> None:
    secret = TokenService.create(user=ann, name="Script", access=Access.READ).secret
    User.objects.update(is_active=False)
    assert TokenService.find(secret=secret) is None
    User.objects.update(is_active=True)
    assert TokenService.find(secret=secret)


def test_revoked_token_is_gone_and_the_others_stay(ann: User) -> None:
    made, other = (TokenService.create(user=ann, name=n, access=Access.READ) for n in "ab")
    TokenService.revoke(user=ann, token_id=made.token.pk)
    assert TokenService.find(secret=made.secret) is None
    assert TokenService.find(secret=other.secret) == other.token
    with pytest.raises(TokenNotFound):
        TokenService.revoke(user=ann, token_id=made.token.pk)


def test_token_of_another_person_is_not_revoked(ann: User, bob: User) -> None:
    made = TokenService.create(user=bob, name="Script", access=Access.READ)
    with pytest.raises(TokenNotFound):
        TokenService.revoke(user=ann, token_id=made.token.pk)
    assert TokenService.find(secret=made.secret) == made.token


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"name": " "}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"access": "everything"}, "access"),
        ({"expires_at": timezone.now()}, "expires_at"),
    ],
)
def test_token_with_a_wrong_value_is_refused(ann: User, values: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as refused:
        TokenService.create(**{"user": ann, "name": "Script", "access": Access.READ, **values})
    assert list(refused.value.message_dict) == [field]
    assert not Token.objects.exists()


def test_a_person_has_no_more_tokens_than_the_limit(ann: User, bob: User) -> None:
    for number in range(MAX_TOKENS):
        TokenService.create(user=ann, name=str(number), access=Access.READ)
    with pytest.raises(ValidationError, match="You have 50 tokens"):
        TokenService.create(user=ann, name="one more", access=Access.READ)
    TokenService.create(user=bob, name="Bob's first", access=Access.READ)
    TokenService.revoke(user=ann, token_id=Token.objects.filter(user=ann).latest("pk").pk)
    TokenService.create(user=ann, name="one more", access=Access.READ)


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("before", "names", "refusal"),
    [
        (MAX_TOKENS - 1, "abcdefgh", "You have 50 tokens"),
        (0, "aaaaaaaa", "You have a token of this name"),  # A second click makes no second token.
    ],
)
def test_of_tokens_that_are_made_at_once_none_is_one_too_many(
    ann: User, before: int, names: str, refusal: str
) -> None:
    for number in range(before):
        TokenService.create(user=ann, name=str(number), access=Access.READ)

    def refused(name: str) -> str:
        try:
            TokenService.create(user=ann, name=name, access=Access.READ)
        except ValidationError as error:
            return str(error.messages)
        return ""

    with ThreadPoolExecutor(8) as pool:
        made = [pool.submit(in_another_connection, partial(refused, name)) for name in names]
        said = [one.result(timeout=30) for one in made]
    assert said.count("") == 1
    assert sum(refusal in text for text in said) == len(names) - 1
    assert Token.objects.filter(user=ann).count() == before + 1


def test_last_use_is_noted_once_in_a_while(ann: User, django_assert_num_queries: Queries) -> None:
    secret = TokenService.create(user=ann, name="Script", access=Access.READ).secret

    def use(*, queries: int) -> Token:
        token = TokenService.find(secret=secret)
        assert token
        with django_assert_num_queries(queries):
            TokenService.note_use(token=token)
        return Token.objects.get()

    first = use(queries=1).last_used_at
    assert first
    assert use(queries=0).last_used_at == first
    long_ago = first - NOTED_EVERY - timedelta(seconds=1)
    Token.objects.update(last_used_at=long_ago)
    now = use(queries=1).last_used_at
    assert now
    assert now >= first


def test_tokens_go_with_their_person(ann: User, bob: User) -> None:
    made = TokenService.create(user=ann, name="Script", access=Access.READ)
    kept = TokenService.create(user=bob, name="Script", access=Access.READ)
    UserService.delete(user=ann)
    assert TokenService.find(secret=made.secret) is None
    assert [*Token.objects.all()] == [kept.token]


# A new one


@pytest.mark.parametrize(("access", "label"), [("read", "Read"), ("write", "Read and change")])
def test_new_token_is_shown_once_with_a_line_to_try_it(
    hers: Client, ann: User, settings: Settings, access: str, label: str
) -> None:
    settings.SITE_URL = "https://tidy.example.org"
    page = make(hers, access=access)
    secret = secret_in(page)
    assert MADE in words(page)
    assert "Backup at night Copy it now" in words(page)
    line = f'curl -H "Authorization: Bearer {secret}" https://tidy.example.org/api/v1/me'
    assert line in words(page)
    assert f'<a href="{PREFERENCES}#tokens">' in page.content.decode()
    found = TokenService.find(secret=secret)
    assert found
    assert (found.user, found.access) == (ann, access)
    listed = shown(hers)
    assert f"Backup at night {label} · tidy_{found.prefix}_… Made on" in listed
    assert secret not in hers.get(PREFERENCES).content.decode()
    assert secret not in hers.get(TOKENS).content.decode()


def test_token_of_a_calendar_is_shown_as_an_address(hers: Client, settings: Settings) -> None:
    settings.SITE_URL = "https://tidy.example.org"
    page = make(hers, access="calendar")
    secret = secret_in(page)
    assert f"https://tidy.example.org/calendar/{secret}.ics" in words(page)
    assert "curl" not in words(page)


def test_address_of_the_calendar_is_one_of_this_site(hers: Client, settings: Settings) -> None:
    settings.SITE_URL = ""
    found = re.search(r"/calendar/\w+\.ics", words(make(hers, access="calendar")))
    assert found
    assert Client().get(found[0]).status_code == 200


@pytest.mark.parametrize(("chosen", "days"), [("30", 30), ("90", 90), ("365", 365)])
def test_new_token_expires_when_it_was_said(hers: Client, chosen: str, days: int) -> None:
    before = timezone.now()
    make(hers, expires_in=chosen)
    until = Token.objects.get().expires_at
    assert until
    assert timedelta(0) <= until - before - timedelta(days=days) < timedelta(minutes=1)
    assert "Expires on" in shown(hers)


def test_secret_is_kept_nowhere(
    hers: Client, caplog: pytest.LogCaptureFixture, mail_server: list[Any]
) -> None:
    caplog.set_level("DEBUG")
    EmailAddress.objects.create(user=User.objects.get(), email="ann@example.com", primary=True)
    page = make(hers)
    secret = secret_in(page)
    (mail,) = mail_server

    digest = Token.objects.get().digest
    assert traces(digest), "it is found where it stands"
    assert traces(secret.lower(), secret[14:].lower()) == []
    assert secret[14:] not in caplog.text
    kept = chain(page.headers.values(), (c.value for c in page.cookies.values()))
    assert not any(secret[14:] in text for text in kept)
    assert secret[14:] not in str([*hers.cookies.values()])
    assert secret[14:] not in f"{mail.subject} {mail.body}"
    assert "no-store" in page.headers["Cache-Control"]


def test_token_is_logged_without_its_name(hers: Client, ann: User, events: Events) -> None:
    make(hers)
    hers.post(f"{TOKENS}{Token.objects.get().pk}/revoke/")
    made, revoked = events()[-2:]
    assert (made["event"], made["user_id"], made["access"]) == ("token made", ann.pk, "read")
    assert (revoked["event"], revoked["user_id"]) == ("token revoked", ann.pk)
    assert "Backup" not in str(events())


def test_mail_tells_the_person_of_a_new_token(
    hers: Client, ann: User, mail_server: list[Any]
) -> None:
    EmailAddress.objects.create(user=ann, email=ann.email, primary=True, verified=True)
    make(hers, access="write")
    (mail,) = mail_server
    assert mail.to == ["ann@example.com"]
    assert mail.subject == "A token was made for your Tidy account"
    assert "What it is for: read and change." in mail.body
    assert "If this was you, all is well." in mail.body


def test_site_without_mails_sends_none(hers: Client, mailoutbox: list[Any]) -> None:
    assert MADE in words(make(hers))
    assert not mailoutbox


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": ""}, "This field is required."),
        ({"name": " \t"}, "This field is required."),
        ({"name": "x" * 101}, "at most 100 characters"),
        ({"access": "everything"}, "Choose one of these."),
        ({"access": ""}, "Choose one of these."),
        ({"expires_in": "1"}, "Choose one of these."),
        ({"expires_in": ""}, "Choose one of these."),
    ],
)
def test_wrong_form_says_what_is_wrong_and_keeps_what_was_typed(
    anns: Client, changes: dict[str, str], said: str
) -> None:
    form = {**FORM, "name": "<b>Mine</b>", "access": "write", "expires_in": "365", **changes}
    page = anns.post(TOKENS, form)
    content = page.content.decode()
    assert page.status_code == 200
    assert said in words(page)
    if "name" not in changes:
        assert 'value="&lt;b&gt;Mine&lt;/b&gt;"' in content
    if "access" not in changes:
        assert re.search(r'value="write"[^>]* checked', content)
    if "expires_in" not in changes:
        assert '<option value="365" selected>' in content
    assert f'name="next" value="{PREFERENCES}"' in content
    assert not Token.objects.exists()
    assert "no-store" in page.headers["Cache-Control"]


def test_wrong_field_is_tied_to_what_is_wrong_with_it(anns: Client) -> None:
    content = make(anns, name="", access="x").content.decode()
    (name,) = re.findall(r'<input type="text" name="name"[^>]*>', content)
    assert 'aria-invalid="true"' in name
    assert 'id="id_name_error"' in content
    assert "id_name_error" in name
    assert re.search(r'role="radiogroup"[^>]* aria-describedby="id_access_error"', content)
    assert 'id="id_access_error"' in content


def test_person_with_the_most_tokens_is_told_to_revoke_one(hers: Client, ann: User) -> None:
    for number in range(MAX_TOKENS):
        TokenService.create(user=ann, name=str(number), access=Access.READ)
    page = make(hers, name="One more")
    assert "You have 50 tokens. Revoke one first." in words(page)
    assert 'value="One more"' in page.content.decode()
    assert Token.objects.count() == MAX_TOKENS


@pytest.mark.parametrize("named", ["https://evil.example/", "//evil.example", "evil", "", "\\evil"])
def test_way_back_leads_to_a_page_of_this_site(hers: Client, named: str) -> None:
    page = make(hers, next=named)
    assert f'<a href="{TOKENS}#tokens">' in page.content.decode()
    answer = hers.post(f"{TOKENS}{Token.objects.get().pk}/revoke/", {"next": named})
    assert answer.headers["Location"] == f"{TOKENS}#tokens"


# The password once more


def test_password_is_asked_for_once_more_and_what_was_typed_is_not_lost(anns: Client) -> None:
    answer = make(anns, name="Ümläut & more", access="write", forged="x" * 1000)
    assert answer.headers["Location"].replace("%2F", "/") == REAUTHENTICATE
    assert not Token.objects.exists()
    kept = str(Session.objects.get().get_decoded())
    assert "access=write" in kept
    assert "forged" not in kept
    assert "csrfmiddlewaretoken" not in kept

    page = anns.post(REAUTHENTICATE, {"password": PASSWORD})

    assert MADE in words(page)
    token = TokenService.find(secret=secret_in(page))
    assert token
    assert (token.name, token.access) == ("Ümläut & more", "write")
    assert f'<a href="{PREFERENCES}#tokens">' in page.content.decode()
    assert "no-store" in page.headers["Cache-Control"]
    assert traces(secret_in(page).lower()) == []
    assert "access=write" not in str(Session.objects.get().get_decoded())


def test_page_that_is_loaded_again_makes_no_other_token(anns: Client) -> None:
    make(anns)
    for _ in range(2):
        answer = anns.post(REAUTHENTICATE, {"password": PASSWORD})
    assert answer.headers["Location"] == TOKENS
    assert "New token" in words(anns.get(TOKENS))
    assert Token.objects.count() == 1


def test_page_of_a_new_token_that_is_loaded_again_makes_no_other(hers: Client) -> None:
    first = make(hers)
    again = make(hers, name=" Backup  at night ")
    assert MADE in words(first)
    assert "You have a token of this name. If you did not copy it, revoke it" in words(again)
    assert not SECRET.search(again.content.decode())
    assert Token.objects.count() == 1


def test_two_people_may_call_their_tokens_the_same(hers: Client, bob: User) -> None:
    TokenService.create(user=bob, name=FORM["name"], access=Access.READ)
    assert MADE in words(make(hers))


def test_pages_begin_where_something_is_to_be_typed(anns: Client) -> None:
    wrong = make(anns, name="").content.decode()
    assert re.findall(r'<(?:input|select)[^>]*name="(\w+)"[^>]* autofocus', wrong) == ["name"]
    asked = anns.post(TOKENS, FORM, follow=True).content.decode()
    assert re.findall(r'<input[^>]*name="(\w+)"[^>]* autofocus', asked) == ["password"]


def test_wrong_password_makes_no_token(anns: Client) -> None:
    make(anns)
    assert "This is not your password." in words(anns.post(REAUTHENTICATE, {"password": "wrong"}))
    assert not Token.objects.exists()
    assert MADE in words(anns.post(REAUTHENTICATE, {"password": PASSWORD}))


def test_wrong_form_is_refused_before_the_password_is_asked_for(anns: Client) -> None:
    assert make(anns, name="").status_code == 200


def test_person_who_cannot_prove_who_they_are_makes_no_token(client: Client, alice: User) -> None:
    client.force_login(alice)
    assert make(client).status_code == 403
    assert not Token.objects.exists()


def test_who_is_not_logged_in_makes_and_revokes_no_token(client: Client, ann: User) -> None:
    token = TokenService.create(user=ann, name="Script", access=Access.READ).token
    assert make(client).headers["Location"] == f"/accounts/login/?next={TOKENS}"
    assert client.post(f"{TOKENS}{token.pk}/revoke/").status_code == 302
    assert [*Token.objects.all()] == [token]


def test_forms_from_another_site_make_and_revoke_no_token(ann: User) -> None:
    token = TokenService.create(user=ann, name="Script", access=Access.READ).token
    careful = Client(enforce_csrf_checks=True)
    careful.force_login(ann)
    assert make(careful).status_code == 403
    assert careful.post(f"{TOKENS}{token.pk}/revoke/").status_code == 403
    assert [*Token.objects.all()] == [token]


# The list


def test_list_says_of_each_token_what_it_is_and_when_it_was_used(anns: Client, ann: User) -> None:
    used, old, new = (
        TokenService.create(user=ann, name=name, access=access).token
        for name, access in (
            ("Used", Access.WRITE),
            ("Old", Access.READ),
            ("Calendar", Access.CALENDAR),
        )
    )
    TokenService.note_use(token=used)
    expire(old)
    listed = shown(anns)
    assert listed.index("Calendar") < listed.index("Old") < listed.index("Used")
    assert re.search(
        rf"Used Read and change · tidy_{used.prefix}_… Made on [^.]+\. Last used on .+?\. "
        r"It never expires\. Revoke",
        listed,
    )
    assert re.search(
        rf"Calendar of due dates · tidy_{new.prefix}_… Made on [^.]+\. Never used\.", listed
    )
    assert re.search(r"Old Read · \S+ Made on [^.]+\. Never used\. Expired on [^.]+\.", listed)


def test_name_of_a_token_is_shown_as_text(anns: Client, ann: User) -> None:
    name = '"><script>alert(1)</script>{{ user.password }}'
    TokenService.create(user=ann, name=name, access=Access.READ)
    content = anns.get(PREFERENCES).content.decode()
    assert "<script>alert" not in content
    assert name in unescape(content)


def test_revoked_token_is_gone_from_the_list(anns: Client, ann: User) -> None:
    made = TokenService.create(user=ann, name="Script", access=Access.READ)
    answer = anns.post(f"{TOKENS}{made.token.pk}/revoke/", {"next": PREFERENCES})
    assert answer.headers["Location"] == f"{PREFERENCES}#tokens"
    assert "The token is revoked." in words(anns.get(PREFERENCES))
    assert "Script" not in shown(anns)
    assert TokenService.find(secret=made.secret) is None


@pytest.mark.parametrize("token_id", ["0", "9" * 30])
def test_token_that_is_none_is_not_found(anns: Client, token_id: str) -> None:
    assert anns.post(f"{TOKENS}{token_id}/revoke/").status_code == 404


def test_token_of_another_person_or_a_gone_one_is_not_found(
    anns: Client, ann: User, bob: User
) -> None:
    his = TokenService.create(user=bob, name="Bob's", access=Access.READ)
    hers = TokenService.create(user=ann, name="Ann's", access=Access.READ)
    TokenService.revoke(user=ann, token_id=hers.token.pk)
    for token in (his.token, hers.token):
        assert anns.post(f"{TOKENS}{token.pk}/revoke/").status_code == 404
    assert TokenService.find(secret=his.secret)
    assert "Bob's" not in shown(anns)


def test_looking_at_the_address_of_the_button_revokes_nothing(anns: Client, ann: User) -> None:
    token = TokenService.create(user=ann, name="Script", access=Access.READ).token
    assert anns.get(f"{TOKENS}{token.pk}/revoke/").status_code == 405
    assert Token.objects.exists()


def test_tokens_cost_the_preferences_one_query(anns: Client, ann: User) -> None:
    def asked() -> list[str]:
        with CaptureQueriesContext(connection) as queries:
            assert anns.get(PREFERENCES).status_code == 200
        return [query["sql"] for query in queries]

    asked()  # When the next cleanup is due, is remembered from now on.
    without = asked()
    for number in range(5):
        TokenService.create(user=ann, name=str(number), access=Access.READ)
    assert len(asked()) == len(without)
    assert sum("accounts_token" in sql for sql in asked()) == 1


def test_page_of_a_new_token_is_in_german(hers: Client) -> None:
    User.objects.update(language="de")
    page = make(hers, access="calendar")
    assert "Dein neues Token" in words(page)
    with translation.override("de"):
        assert "Kalender der Fälligkeiten" in words(hers.get(PREFERENCES))
    assert "Wähle eine dieser Möglichkeiten." in words(make(hers, access="alles"))


def test_who_logs_in_again_finds_the_form_there(ann: User) -> None:
    client = Client()
    make(client)
    assert log_in(client, next=TOKENS).status_code == 302
    assert "New token" in words(client.get(TOKENS))
