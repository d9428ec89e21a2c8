"""A German reader reads German: on each page, in what is said after a click, and in mails.

Each English text that has another German one, in our catalogue or in those of Django and
django-allauth, is looked for. The pages are read from one link to the next, so that one that is
added later is in it.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import allauth
import django
import pytest
from allauth.account.models import EmailAddress
from babel.messages.catalog import Catalog
from babel.messages.mofile import read_mo
from django.core import mail
from django.core.mail import EmailMessage
from django.template.loader import render_to_string
from django.test import Client
from django.utils import timezone, translation
from pytest_django import Settings

from accounts.models import Access, Token, User, available_time_zones
from accounts.tokens.services import TokenService
from tests.factories import new_run, new_todos, trash, wants_receipt
from tests.forms import Page, crawl
from tests.translations import PLACE, read_catalogue
from todos.bulk.store import InMemoryStore
from todos.day_words import day_words
from todos.receipts import sending
from todos.receipts.services import ReceiptService

PASSWORD = "ein langes Passwort"
GERMAN = {"Accept-Language": "de-AT,de;q=0.9,en;q=0.5", "User-Agent": "Firefox"}
DAY = timedelta(days=1)

#: Where a German browser begins; what ends its visit, and what is in English, as for developers.
STARTS = ("/", "/completed/", "/search/?q=kaufen", "/search/?q=Nirgends", "/goodbye/")
LEFT_OUT = ("/accounts/logout/", "/admin/", "/api/", "/static/", "/export")

#: Of libraries.
CATALOGUES = (
    Path(django.__file__).parent / "conf/locale/de/LC_MESSAGES/django.mo",
    Path(django.__file__).parent / "contrib/auth/locale/de/LC_MESSAGES/django.mo",
    Path(allauth.__file__).parent / "locale/de/LC_MESSAGES/django.mo",
)

#: What reads the same in both languages. A language is called by its own name.
SAME = {
    "Tidy",
    "Todos",
    "Todos · Tidy",
    "Passkeys",
    "Tokens",
    "Name",
    "Esc",
    "UTC",
    "English",
    "Deutsch",
}

#: Swift Current is a place with a time zone.
NO_WORDS = {"English", "Current"}

#: Within a sentence, where no plural begins with a capital: people are addressed as "du".
FORMAL = re.compile(r"[a-zäöüß,] (Sie|Ihr|Ihre[mnrs]?|Ihnen)\b")


def texts(catalog: Catalog) -> Iterator[str]:
    """Yield the English texts of a catalogue that are others in German."""
    for message in catalog:
        english, german = forms_of(message.id), forms_of(message.string)
        if message.id and not message.context and not set(english) & set(german):
            yield from english


def forms_of(text: str | Iterable[str] | None) -> list[str]:
    """Return a text as a list of one; the forms of a plural as they are."""
    return [text] if isinstance(text, str) else list(text or ())


def pattern(text: str) -> re.Pattern[str] | None:
    """Return what finds a text within another, whatever its values; None if it has no words."""
    start, end = r"(?<!\w)", r"(?!\w)"
    parts = [re.escape(" ".join(part.split())) for part in PLACE.split(text)]
    words = r" ?[^\n]{1,200}? ?".join(parts).removeprefix(r" ?[^\n]{1,200}? ?")
    return re.compile(start + words + end) if re.search(r"[A-Za-z]{2}", "".join(parts)) else None


@cache
def english() -> list[re.Pattern[str]]:
    """Return what finds each English text; of one with tags or paragraphs, each."""
    found = set(texts(read_catalogue()))
    for path in CATALOGUES:
        with path.open("rb") as file:
            found |= set(texts(read_mo(file)))
    parts = {part for text in found - NO_WORDS for part in re.split(r"<[^>]*>|\n\n", text)}
    return [one for one in map(pattern, sorted(parts)) if one]


def not_german(words: Iterable[str]) -> set[str]:
    """Return what is English in these texts, or addresses somebody formally."""
    text = "\n".join(words)
    found = {match[0] for one in english() if (match := one.search(text))}
    return found | {match[0] for match in FORMAL.finditer(text)}


def words_of(response: Any) -> list[str]:
    assert response["Content-Language"] == "de"
    page = Page("/", response.content.decode())
    assert '<html lang="de"' in response.content.decode()
    return page.words


def words_in(sent: EmailMessage) -> list[str]:
    """Return the paragraphs of a mail, without addresses."""
    paragraphs = [str(sent.subject), *str(sent.body).split("\n\n")]
    return [" ".join(re.sub(r"https?:\S*", "", text).split()) for text in paragraphs]


@pytest.fixture(autouse=True)
def _site(settings: Settings) -> None:
    """A site with a mail server."""
    settings.ACCOUNT_SIGNUP_FIELDS = ["username*", "email*", "password1*"]
    settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"
    settings.ACCOUNT_EMAIL_NOTIFICATIONS = True


@pytest.fixture
def heidi(db: None) -> User:
    """A German reader with todos of all kinds."""
    user = User.objects.create_user("heidi", "heidi@example.org", PASSWORD, language="de")
    EmailAddress.objects.create(user=user, email=user.email, primary=True, verified=True)
    now = timezone.now()
    for days in (-5, -1, 0, 1, 5, 400):
        due_on = timezone.localdate() + timedelta(days=days)
        new_todos(user, title="Milch kaufen", completed_at=None, due_on=due_on)
    new_todos(user, each=7, title="Oma anrufen", completed_at=now)
    for ago in (0, 3, 40):
        run = new_run()
        trash(user, "Brot kaufen", "Müll", run_id=run.pk, trashed_at=now - ago * DAY)
        trash(user, "Rasen", trashed_at=now - ago * DAY)
    tokens = [
        ("Sicherung", Access.READ, None),
        ("Küche", Access.WRITE, now + 90 * DAY),
        ("Telefon", Access.CALENDAR, now + 30 * DAY),
    ]
    for name, access, expires_at in tokens:
        TokenService.create(user=user, name=name, access=access, expires_at=expires_at)
    Token.objects.filter(access=Access.READ).update(last_used_at=now)
    Token.objects.filter(access=Access.WRITE).update(expires_at=now - DAY)
    return user


@pytest.fixture
def page(heidi: User) -> Client:
    """Heidi's browser, which asks for English pages; she has just logged in."""
    client = Client(headers={"Accept-Language": "en"})
    form = {"login": heidi.username, "password": PASSWORD}
    assert client.post("/accounts/login/", form).status_code == 302
    # Some pages ask once more.
    assert client.post("/accounts/reauthenticate/", form).status_code == 302
    return client


@pytest.fixture
def stranger(db: None) -> Client:
    """A German browser; nobody has logged in."""
    return Client(headers=GERMAN, raise_request_exception=False)


def test_english_is_found() -> None:
    page = ["Papierkorb", "Restore", "It waits in the trash for 30 days, and one click brings it"]
    assert not_german(page) >= {"Restore"}
    assert not_german(["3 todos on your list"]) >= {"todos on your list"}
    assert not_german(["This field is required."]) >= {"This field is required."}
    assert not_german(["Bitte geben Sie"]) == {"n Sie"}
    assert not not_german(["3 Todos. Sie bleiben auf deiner Liste.", "Todos", "Name"])


def test_each_page_is_in_german(page: Client) -> None:
    read = dict(crawl(page, *STARTS, skip=LEFT_OUT))
    assert len(read) > 25
    assert {address: found for address in read if (found := not_german(read[address].words))} == {}


def test_each_page_before_the_log_in_is_in_german(stranger: Client) -> None:
    starts = ("/", "/goodbye/", "/accounts/password/reset/done/", "/accounts/confirm-email/")
    old_links = ("/accounts/confirm-email/old/", "/accounts/password/reset/key/1-old/")
    read = dict(crawl(stranger, *starts, *old_links, "/accounts/inactive/", skip=LEFT_OUT))
    assert len(read) > 8
    assert {address: found for address in read if (found := not_german(read[address].words))} == {}


def test_only_names_read_the_same_in_both_languages(page: Client, heidi: User) -> None:
    read: dict[str, set[str]] = {}
    for language in ("de", "en"):
        User.objects.filter(pk=heidi.pk).update(language=language)
        pages = crawl(page, *STARTS, skip=LEFT_OUT)
        read[language] = {word for _, found in pages for word in found.words}
    places = {zone.partition("/")[2].replace("_", " ") for zone in available_time_zones()}
    own = {heidi.username, heidi.email, *heidi.todos.values_list("title", flat=True)}
    own |= set(heidi.trashed_todos.values_list("title", flat=True))
    for prefix, name in Token.objects.values_list("prefix", "name"):
        own |= {f"tidy_{prefix}_…", name}
    same = {word for word in read["de"] & read["en"] if re.search(r"[A-Za-z]{2}", word)}
    assert same - places - own <= SAME


@pytest.mark.parametrize(
    ("address", "values"),
    [
        ("/accounts/login/", {}),
        ("/accounts/login/", {"login": "heidi", "password": "falsch"}),
        ("/accounts/signup/", {}),
        ("/accounts/signup/", {"username": "h!", "email": "keine", "password1": "123"}),
        ("/accounts/signup/", {"username": "heidi", "email": "a@b.at", "password1": "heidi"}),
        ("/accounts/password/reset/", {"email": "keine"}),
    ],
)
def test_what_is_wrong_with_a_form_before_the_log_in_is_said_in_german(
    heidi: User, stranger: Client, address: str, values: dict[str, str]
) -> None:
    response = stranger.post(address, values)
    assert response.status_code == 200
    assert not_german(words_of(response)) == set()


@pytest.mark.parametrize(
    ("address", "values"),
    [
        ("/todos/add/", {"title": ""}),
        ("/todos/add/", {"title": "x" * 300}),
        ("/todos/add/", {"title": "a\0b"}),
        ("/todos/{open}/edit/", {"title": "", "due_on": "bald"}),
        ("/todos/{open}/edit/", {"title": "x", "due_on": "0001-01-01"}),
        ("/todos/{open}/edit/", {"title": "Brot", "description": "x", "version": "alt"}),
        ("/preferences/", {"initial-keep": "site", "keep": "-1"}),
        ("/preferences/", {"initial-theme": "auto", "theme": "bunt"}),
        ("/preferences/", {"initial-time_zone": "", "time_zone": "Nirgends"}),
        ("/delete-account/", {"password": "falsch"}),
        ("/delete-account/", {}),
        ("/accounts/password/change/", {}),
        (
            "/accounts/password/change/",
            {"oldpassword": "falsch", "password1": "1234", "password2": "4321"},
        ),
        ("/accounts/email/", {"action_add": "", "email": "keine"}),
        ("/accounts/email/", {"action_add": "", "email": "heidi@example.org"}),
        ("/accounts/2fa/totp/activate/", {"code": "1"}),
        ("/accounts/tokens/", {"name": ""}),
        ("/accounts/tokens/", {"name": "x" * 101, "access": "alles", "expires_in": "1"}),
    ],
)
def test_what_is_wrong_with_a_form_is_said_in_german(
    page: Client, heidi: User, address: str, values: dict[str, str]
) -> None:
    todo = heidi.todos.filter(completed_at=None).latest("pk")
    response = page.post(address.format(open=todo.pk), values)
    assert response.status_code in {200, 409, 422}
    assert not_german(words_of(response)) == set()


@pytest.mark.parametrize(
    ("address", "values"),
    [
        ("/todos/add/", {"title": "Morgen Milch kaufen"}),
        ("/todos/complete/", {"id": "{open}"}),
        ("/todos/delete/", {"id": "{open}"}),
        ("/todos/set-due/", {"id": "{open}", "due_on": "2027-01-31"}),
        ("/todos/reopen/", {"id": "{done}"}),
        ("/todos/complete/", {"id": "{gone}"}),
        ("/todos/clear/", {}),
        ("/trash/restore/", {}),
        ("/trash/restore/", {"id": "{gone}"}),
        ("/trash/restore/", {"id": "{open}"}),
        ("/trash/restore-night/", {"run": "{run}"}),
        ("/trash/restore-night/", {"run": "1000000"}),
        ("/trash/delete/", {"id": "{gone}"}),
        ("/trash/delete/", {"id": "{gone}", "sure": "yes"}),
        ("/trash/empty/", {"until": "2100-01-01T00:00:00+00:00"}),
        ("/preferences/", {"initial-keep": "site", "keep": "30"}),
        ("/preferences/", {"initial-keep": "site", "keep": "ever"}),
        ("/preferences/", {}),
        ("/accounts/email/", {"action_add": "", "email": "neu@example.org"}),
        ("/accounts/sessions/end-others/", {}),
        ("/accounts/tokens/", {"name": "Skript", "access": "write", "expires_in": "90"}),
        ("/accounts/tokens/", {"name": "Skript", "access": "calendar", "expires_in": "never"}),
        ("/accounts/tokens/{token}/revoke/", {"next": "/preferences/"}),
        (
            "/accounts/password/change/",
            {"oldpassword": PASSWORD, "password1": "noch eines!", "password2": "noch eines!"},
        ),
    ],
)
def test_what_was_done_is_said_in_german(
    page: Client, heidi: User, address: str, values: dict[str, str]
) -> None:
    gone = heidi.trashed_todos.swept().latest("pk")
    ids = {
        "open": heidi.todos.filter(completed_at=None).latest("pk").pk,
        "done": heidi.todos.exclude(completed_at=None).latest("pk").pk,
        "gone": gone.pk,
        "run": gone.run_id,
        "token": Token.objects.latest("pk").pk,
    }
    filled = {name: value.format(**ids) for name, value in values.items()}
    response = page.post(address.format(**ids), filled, follow=True)
    assert response.status_code == 200
    assert not_german(words_of(response)) == set()


@pytest.mark.parametrize("days", [0, 1, 7])
def test_keep_times_and_what_stays_are_said_in_german(
    page: Client, heidi: User, settings: Settings, days: int
) -> None:
    settings.TODO_KEEP_COMPLETED_DAYS = settings.TODO_TRASH_DAYS = days
    for auto_cleanup in (True, False):
        User.objects.filter(pk=heidi.pk).update(auto_cleanup=auto_cleanup)
        for address in ("/", "/preferences/", "/trash/"):
            assert not_german(words_of(page.get(address))) == set(), address


def test_pages_of_errors_are_in_german(heidi: User, stranger: Client) -> None:
    assert not_german(words_of(stranger.get("/nirgends/"))) == set()
    careful = Client(headers=GERMAN, enforce_csrf_checks=True)
    assert not_german(words_of(careful.post("/accounts/login/"))) == set()
    with translation.override("de"):
        for template in ("400", "403", "404", "413", "429", "500"):
            for context in ({}, {"user": heidi}):
                shown = Page("/", render_to_string(f"{template}.html", context))
                assert not_german(shown.words) == set(), template


def test_the_receipt_of_a_german_reader_is_in_german(
    alice: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = timezone.now().replace(month=11, day=30, hour=5)
    monkeypatch.setattr(sending, "database_now", lambda: now)
    for user, language in ((alice, ""), (bob, "de")):
        wants_receipt(user, language=language)
        EmailAddress.objects.create(user=user, email=user.email, verified=True)
        trash(user, "Brot kaufen", "Müll", run_id=1, trashed_at=now - timedelta(minutes=1))
    ReceiptService.write_and_send(as_of=now, settled_until=lambda: now, store=InMemoryStore())

    to_alice, to_bob = sorted(mail.outbox, key=lambda sent: sent.to)
    assert to_alice.subject == "Tidy took 2 completed todos last night"
    assert to_bob.subject == "Tidy hat letzte Nacht 2 erledigte Todos aufgeräumt"
    with translation.override("de"):
        assert f"bis {day_words(date(now.year, 12, 30))} im Papierkorb" in to_bob.body
    assert not_german(words_in(to_bob)) == set()


def test_the_mails_of_an_account_are_in_german(heidi: User, stranger: Client) -> None:
    known, unknown = {"email": heidi.email}, {"email": "niemand@example.org"}
    for form in (known, unknown):
        stranger.post("/accounts/password/reset/", form)
        account = {**form, "username": f"u{len(mail.outbox)}", "password1": "!langes Wort"}
        stranger.post("/accounts/signup/", account)

    stranger.force_login(heidi)
    new = {"oldpassword": PASSWORD, "password1": "noch eines!", "password2": "noch eines!"}
    stranger.post("/accounts/password/change/", new)

    assert len(mail.outbox) == 5
    for sent in mail.outbox:
        assert not_german(words_in(sent)) == set()


@pytest.mark.parametrize(
    "kind",
    [
        "account/email/email_changed",
        "account/email/email_deleted",
        "account/email/password_changed",
        "account/email/password_reset",
        "account/email/password_set",
        "account/email/token_made",
        "mfa/email/recovery_codes_generated",
        "mfa/email/totp_activated",
        "mfa/email/totp_deactivated",
        "mfa/email/webauthn_added",
        "mfa/email/webauthn_removed",
    ],
)
def test_what_was_done_to_an_account_is_told_in_german(kind: str) -> None:
    values = dict.fromkeys(("from_email", "to_email", "deleted_email", "ip", "user_agent"), "x")
    with translation.override("de"):
        texts = [render_to_string(f"{kind}_{part}.txt", values) for part in ("subject", "message")]
    assert not_german(" ".join(text.split()) for text in texts) == set()
