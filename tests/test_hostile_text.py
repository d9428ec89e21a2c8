"""Whatever is typed into any field of any page is refused with a message, or shown as text.

The forms are those that a visitor finds, from one link to the next: a field that is added later is
in it.
"""

from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from django.test import Client

from accounts.models import User
from tests.factories import new_run, new_todo, new_todos, trash
from tests.forms import Form, Page, crawl, kinds_of

STARTS = ("/", "/trash/", "/preferences/", "/search/?q=Todo")

#: Ends the visit; and the admin, which others test.
LEFT_OUT = ("/accounts/logout/", "/admin/", "/static/", "/export")

MARK = "x7q"
TEXTS = {
    "markup": f'"><script>alert("{MARK}")</script><img src=x onerror=alert(1)>',
    "template syntax": f"{MARK}{{{{ request.user.password }}}}{{% debug %}}",
    "bidi": f"{MARK} \u202egnp.exe\u2066 \u200f\u061c",
    "NUL": f"{MARK}\0",
    "control characters": f"{MARK}\x1b[31m\r\nSet-Cookie: a=b\x07\x85",
    "SQL": f"{MARK}' OR '1'='1'; DROP TABLE todos_todo; -- %s %(a)s",
    "long": MARK + "ä" * 20_000,
    "number": "99999999999999999999999",
    "path": "//evil.example/../../etc/passwd",
}
#: What a browser does not send: a surrogate in UTF-8, bytes that are none, an endless percent sign.
BYTES = (b"%ED%A0%80", b"%FF%FE%00", b"%", b"%E2%80")

#: Never set by hand.
TOKENS = {"csrfmiddlewaretoken"}


@pytest.fixture
def visitor(db: None) -> Client:
    alice = User.objects.create_user("alice", "alice@example.org", "pass word 1")
    new_todo(alice, completed_at=None)
    new_todos(alice, each=2)
    trash(alice, "Todo", run_id=new_run().pk)
    client = Client()
    client.force_login(alice)
    return client


def forms_of(client: Client) -> list[Form]:
    """Return the forms of all pages, each kind once."""
    pages = crawl(client, *STARTS, skip=LEFT_OUT)
    return kinds_of(
        form for _, page in pages for form in page.forms if not form.action.startswith(LEFT_OUT)
    )


def fields_of(form: Form) -> Iterator[str]:
    yield from sorted(form.fields.keys() - TOKENS)


def send(client: Client, form: Form, fields: dict[str, list[str]]) -> Page | None:
    """Send a form, and return the page that it leads to; it is no server error."""
    data = urlencode(fields, doseq=True)
    if form.method == "post":
        answer = client.post(form.action, data, content_type="application/x-www-form-urlencoded")
    else:
        answer = client.get(f"{form.action.partition('?')[0]}?{data}")
    assert answer.status_code < 500, (form, answer.status_code)
    if answer.status_code in {301, 302, 303}:
        target = answer.headers["Location"]
        assert target.startswith("/"), (form, target)
        assert not target.startswith("//"), (form, target)
        answer = client.get(target)
        assert answer.status_code < 500, (form, target)
    text = answer.content.decode() if not answer.streaming else ""
    assert f'<script>alert("{MARK}")' not in text, form
    assert "<img src=x" not in text, form
    assert "argon2" not in text, form
    return Page(form.action, text)


@pytest.mark.parametrize("name", TEXTS)
def test_hostile_text_in_any_field_is_refused_or_inert(visitor: Client, name: str) -> None:
    forms = forms_of(visitor)
    assert len(forms) > 12
    for form in forms:
        for field in fields_of(form):
            send(visitor, form, {**form.fields, field: [TEXTS[name]]})
    for _, page in crawl(visitor, *STARTS, skip=LEFT_OUT):
        assert page.forms


@pytest.mark.parametrize("content", BYTES)
def test_bytes_that_are_no_text_are_refused_or_replaced(visitor: Client, content: bytes) -> None:
    for form in forms_of(visitor):
        for field in fields_of(form):
            rest = urlencode({**form.fields, field: []}, doseq=True).encode()
            body = b"&".join([rest, field.encode() + b"=" + content])
            kind = "application/x-www-form-urlencoded"
            if form.method == "post":
                answer = visitor.post(form.action, body, content_type=kind)
            else:
                answer = visitor.get(form.action, QUERY_STRING=body.decode())
            assert answer.status_code < 500, (form, field)


def test_a_form_of_ten_megabytes_is_refused_with_a_message(visitor: Client) -> None:
    for form in forms_of(visitor):
        if form.method == "post" and form.can_be_sent:
            answer = visitor.post(form.action, {"title": "x" * 10_000_000})
            assert answer.status_code in {400, 413}, form
            assert b"large" in answer.content, form
