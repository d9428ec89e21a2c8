"""What the fuzzing looks for, it finds: each kind of fault, put there on purpose."""

from dataclasses import replace

import pytest

from project.headers import HeadersMiddleware
from tests.fuzz.answers import Site
from tests.fuzz.cast import Visitor
from tests.fuzz.sent import Sent
from tests.rows import all_rows
from todos.models import Todo

LIST = Sent("GET", "/")


@pytest.fixture
def alice(site: Site) -> Visitor:
    return site.cast.visitor("alice")


@pytest.fixture
def as_bob(site: Site, alice: Visitor) -> Visitor:
    """Somebody who is taken for Alice, and has Bob's session."""
    return replace(alice, session=site.cast.visitor("bob").session)


def deletion(todo: Todo) -> Sent:
    return Sent("POST", "/todos/delete/", body=f"id={todo.pk}".encode())


def bobs_todo() -> Todo:
    return Todo.objects.filter(user__username="bob").earliest("pk")


def test_sound_site_holds(site: Site, alice: Visitor) -> None:
    site.holds(LIST, alice)
    site.holds(deletion(Todo.objects.filter(user=alice.pk).earliest("pk")), alice)
    assert all_rows() == site.state.rows


def test_server_error_is_found_with_its_traceback(
    site: Site, alice: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("accounts.middleware.translation", None)
    with pytest.raises(AssertionError, match="AttributeError: 'NoneType'"):
        site.holds(LIST, alice)


def test_missing_header_is_found(
    site: Site, alice: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HeadersMiddleware, "__call__", lambda self, got: self.get_response(got))
    with pytest.raises(AssertionError, match="Cross-Origin-Resource-Policy: None"):
        site.holds(LIST, alice)


def test_another_persons_data_is_found(site: Site, as_bob: Visitor) -> None:
    with pytest.raises(AssertionError, match="it shows todo-of-bob"):
        site.holds(LIST, as_bob)


def test_setting_on_a_page_is_found(site: Site, alice: Visitor) -> None:
    site.settings.append(b"Log out")
    with pytest.raises(AssertionError, match="it shows b'Log out'"):
        site.holds(LIST, alice)


def test_change_of_another_persons_rows_is_found_and_put_back(
    site: Site, as_bob: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.fuzz.answers.secrets_of", lambda *_: [])
    with pytest.raises(AssertionError, match=r"- todos\.Todo .*todo-of-bob"):
        site.holds(deletion(bobs_todo()), as_bob)
    assert all_rows() == site.state.rows


def test_change_by_a_get_is_found_and_put_back(site: Site, alice: Visitor) -> None:
    todo = Todo.objects.filter(user=alice.pk).earliest("pk")
    disguised = replace(deletion(todo), method="GET", headers=(("REQUEST_METHOD", "POST"),))
    with pytest.raises(AssertionError, match=r"- todos\.Todo .*todo-of-alice"):
        site.holds(disguised, alice)
    assert all_rows() == site.state.rows
