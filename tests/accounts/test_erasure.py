"""Who is deleted leaves nothing behind."""

from datetime import timedelta
from importlib import import_module

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.apps import apps
from django.contrib.admin.models import CHANGE, DELETION, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db.models import Model
from django.test import Client
from django.utils import timezone

from accounts.models import Access, Session, Token, User
from accounts.services import UserService
from accounts.tokens.services import TokenService
from tasks.engine.models import TaskRun, Trigger
from tests.factories import new_run, swept_by, wants_receipt
from tests.rows import traces
from todos.bulk.store import InMemoryStore
from todos.models import Todo, TrashedTodo
from todos.receipts.services import ReceiptService
from todos.services import TodoService

PEOPLE = "/admin/accounts/user/"
TODOS = "/admin/todos/todo/"
TRASH = "/admin/todos/trashedtodo/"

#: Stands in everything that a person writes or is called, and nowhere else.
PLANTED = "zanzibar"


def act(client: Client, address: str, action: str, *pks: int) -> None:
    """Do something to a selection of a list, and say yes if it asks."""
    data = {"action": action, "_selected_action": list(pks), "post": "yes"}
    assert client.post(address, data).status_code == 302


@pytest.fixture
def dora(admin_client: Client) -> User:
    """Somebody whom staff have made, and given every text that a person has."""
    made = {
        "username": f"{PLANTED}.dora",
        "usable_password": "true",
        "password1": "c0rrect horse",
        "password2": "c0rrect horse",
        "auto_cleanup": "on",
        "keep_completed_days": "",
    }
    assert admin_client.post(f"{PEOPLE}add/", made).status_code == 302
    dora = User.objects.get(username=f"{PLANTED}.dora")
    changed = {
        "username": f"{PLANTED}.d",
        "first_name": f"Dora {PLANTED}",
        "last_name": f"Of {PLANTED}",
        "email": f"{PLANTED}@example.com",
        "is_active": "on",
        "auto_cleanup": "on",
        "date_joined_0": "2026-01-01",
        "date_joined_1": "12:00:00",
    }
    assert admin_client.post(f"{PEOPLE}{dora.pk}/change/", changed).status_code == 302
    passwords = {name: made[name] for name in ("usable_password", "password1", "password2")}
    assert admin_client.post(f"{PEOPLE}{dora.pk}/password/", passwords).status_code == 302
    dora.refresh_from_db()
    return dora


@pytest.mark.parametrize("way", ["alone", "selected"])
def test_nothing_is_left_of_somebody_who_was_deleted_whatever_was_done_with_them(
    admin_client: Client, client: Client, dora: User, alice: User, way: str
) -> None:
    texts = {"title": f"Pack for {PLANTED}", "description": f"{PLANTED}: socks", "due_on": ""}
    for number in range(6):
        data = {"user": str(dora.pk), **texts, "title": f"{PLANTED} {number}"}
        assert admin_client.post(f"{TODOS}add/", data).status_code == 302
    edited, deleted, picked, swept, kept, purged = Todo.objects.order_by("pk")
    admin_client.post(f"{TODOS}{edited.pk}/change/", {**texts, "done": "on"})
    admin_client.post(f"{TODOS}{deleted.pk}/delete/", {"post": "yes"})
    act(admin_client, TODOS, "complete", picked.pk, swept.pk, kept.pk)
    act(admin_client, TODOS, "reopen", kept.pk)
    act(admin_client, TODOS, "delete_selected", picked.pk, purged.pk)
    act(admin_client, TRASH, "restore", deleted.pk)
    TodoService.sweep(as_of=timezone.now())
    TodoService.purge(as_of=timezone.now(), days=0, user=dora)
    act(admin_client, TODOS, "delete_selected", deleted.pk)
    wants_receipt(dora)
    swept_by(new_run(), dora)
    ReceiptService.write_and_send(
        as_of=timezone.now(), settled_until=timezone.now, store=InMemoryStore()
    )
    assert dora.receipts.count() == 1
    # What she did herself, and what runs say of her.
    TodoService.delete(
        user=alice, todo_id=TodoService.create(user=alice, title="Alice's").pk, by=dora
    )
    new_run(
        trigger=Trigger.ADMIN,
        requested_by=dora,
        acknowledged_by=dora,
        arguments={"kwargs": {"user_id": dora.pk}},
        result={"errors": [{"user_id": dora.pk, "reason": "check constraint violated"}]},
    )
    # How she logs in: by which address and browser, and with which second factors.
    client.post(
        "/accounts/login/",
        {"login": dora.username, "password": "c0rrect horse"},
        headers={"user-agent": f"{PLANTED} 1.0"},
    )
    EmailAddress.objects.create(user=dora, email=f"{PLANTED}2@example.com")
    for kind in Authenticator.Type:
        Authenticator.objects.create(user=dora, type=kind, data={"name": PLANTED})
    TokenService.create(user=dora, name=f"Script of {PLANTED}", access=Access.READ)
    assert UserSession.objects.filter(user=dora, user_agent__startswith=PLANTED).exists()
    assert Todo.objects.filter(user=dora).exists()
    assert TrashedTodo.objects.filter(user=dora).exists()
    assert len(traces(PLANTED)) > 5, "it is found where it still stands"

    if way == "alone":
        admin_client.post(f"{PEOPLE}{dora.pk}/delete/", {"post": "yes"})
    else:
        act(admin_client, PEOPLE, "delete_selected", dora.pk)

    assert traces(PLANTED) == []
    for theirs in (EmailAddress, Authenticator, UserSession, Token):
        assert not theirs.objects.exists()
    assert set(LogEntry.objects.values_list("content_type__model", flat=True)) == {"user", "todo"}
    assert Session.objects.count() == 1, "the boss's own"


def test_sessions_of_somebody_who_is_deleted_end_and_no_other(
    client: Client, admin_client: Client, alice: User, bob: User
) -> None:
    theirs = Client()
    for browser, user in ((client, alice), (theirs, bob)):
        browser.force_login(user)
    assert Session.objects.filter(user=alice).count() == 1

    UserService.delete(user=alice)

    assert set(Session.objects.values_list("user__username", flat=True)) == {"admin", "bob"}
    response = client.get("/admin/")
    assert response.status_code == 302
    assert response.wsgi_request.user.is_anonymous
    assert theirs.get("/admin/").wsgi_request.user == bob


def test_session_is_nobodys_before_login_and_after_logout(client: Client, alice: User) -> None:
    nobodys = client.session
    nobodys["seen"] = "today"
    nobodys.save()
    assert Session.objects.get().user is None
    client.force_login(alice)
    assert Session.objects.get().user == alice
    client.logout()
    assert not Session.objects.exists()


def test_clearsessions_clears_our_table(client: Client, alice: User) -> None:
    client.force_login(alice)
    Session.objects.update(expire_date=timezone.now() - timedelta(days=1))
    call_command("clearsessions")
    assert not Session.objects.exists()


def test_what_earlier_versions_logged_is_rid_of_its_texts(admin_user: User) -> None:
    def entry(model: type[Model], pk: str | None, quoted: str) -> LogEntry:
        return LogEntry.objects.create(
            user=admin_user,
            content_type=ContentType.objects.get_for_model(model),
            object_id=pk,
            object_repr=quoted,
            action_flag=CHANGE if pk else DELETION,
        )

    quoting = [
        entry(Todo, "12", "Pack for zanzibar"),
        entry(TrashedTodo, "13", "Pack for zanzibar"),
        entry(User, "7", "zanzibar.dora"),
        entry(User, None, "2,000 users"),
        entry(TaskRun, "5", "todo.cleanup 5"),
    ]

    import_module("accounts.migrations.0004_log_names_ids").name_ids(apps, None)

    found = {e.pk: e.object_repr for e in LogEntry.objects.all()}
    assert [found[e.pk] for e in quoting] == [
        *("todo 12", "trashed todo 13", "user 7", "2,000 users", "todo.cleanup 5"),
    ]
    assert traces("zanzibar") == []
