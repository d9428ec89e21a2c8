"""The admin of todos."""

import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.contrib.admin.models import DELETION, LogEntry
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from accounts.models import User
from accounts.staff import selection
from tests.admin_pages import HOSTILE, Page, log_in_staff
from tests.factories import new_todos
from tests.processes import wait_until
from tests.todos.locks import in_another_connection, locked, short_of_patience
from tests.todos.sweeping import refuse_to_delete
from todos import services
from todos.admin.todo import TodoAdmin, TodoForm
from todos.models import Todo, TrashedTodo

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LIST = "/admin/todos/todo/"


@pytest.fixture
def boss(admin_client: Client) -> Client:
    """A client that may do everything."""
    return admin_client


def titles(client: Client, query: str = "") -> set[str]:
    """Return the titles that the list shows for a query string."""
    response = client.get(f"{LIST}?{query}")
    assert response.status_code == 200
    rows = Page(response.content.decode()).rows[1:]
    return {row[2] for row in rows}


def act(client: Client, action: str, todos: Iterable[Todo], **more: str) -> str:
    """Run an action on a selection; return the page that comes then."""
    data = {"action": action, "_selected_action": [todo.pk for todo in todos], **more}
    response = client.post(LIST, data, follow=True)
    assert response.status_code == 200
    return response.content.decode()


def change(todo: Todo) -> str:
    """Return the address of a todo's form."""
    return reverse("admin:todos_todo_change", args=[todo.pk])


def form(**fields: str) -> dict[str, str]:
    """Return what a browser sends for an open todo's form, with other values for `fields`."""
    shown = {"title": "Title", "description": "", "due_on": "", "initial-done": "False"}
    return {**shown, **fields}


def test_list_asks_as_many_questions_for_thirty_todos_as_for_three(
    boss: Client, alice: User, bob: User
) -> None:
    asked, shown = [], []
    for count in (3, 27):
        new_todos(alice, each=count - 1, completed_at=None)
        new_todos(bob, completed_at=NOON)
        with CaptureQueriesContext(connection) as queries:
            page = boss.get(LIST).content.decode()
        asked.append(len(queries))
        shown.append(len(Page(page).rows) - 1)

    assert shown == [3, 30]
    assert asked[0] == asked[1] <= 4, "session, user, one count, one page"


def test_newest_todo_stands_first(boss: Client, alice: User) -> None:
    Todo.objects.create(user=alice, title="Older")
    Todo.objects.create(user=alice, title="Newer")
    rows = Page(boss.get(LIST).content.decode()).rows
    assert [row[2] for row in rows[1:]] == ["Newer", "Older"]


def test_search_finds_titles_and_owners(boss: Client, alice: User, bob: User) -> None:
    Todo.objects.create(user=alice, title="Water the plants")
    Todo.objects.create(user=bob, title="Water the lawn")

    assert titles(boss, "q=PLANTS") == {"Water the plants"}
    assert titles(boss, "q=bob") == {"Water the lawn"}
    assert titles(boss, "q=alice+lawn") == set()


def test_filter_by_state(boss: Client, alice: User) -> None:
    Todo.objects.create(user=alice, title="Open")
    Todo.objects.create(user=alice, title="Done", completed_at=NOON)

    assert titles(boss, "state=open") == {"Open"}
    assert titles(boss, "state=completed") == {"Done"}
    assert titles(boss, "state=no-such") == {"Open", "Done"}


def test_filter_by_due_date(boss: Client, alice: User) -> None:
    today = timezone.localdate()
    for days in (-1, 0, 7, 8):
        Todo.objects.create(user=alice, title=f"{days}", due_on=today + timedelta(days=days))
    Todo.objects.create(
        user=alice, title="late but done", due_on=today - timedelta(days=1), completed_at=NOON
    )
    Todo.objects.create(user=alice, title="whenever")

    assert titles(boss, "due=overdue") == {"-1"}
    assert titles(boss, "due=today") == {"0"}
    assert titles(boss, "due=week") == {"0", "7"}
    assert titles(boss, "due=none") == {"whenever"}


def test_filter_by_date_of_completion(boss: Client, alice: User) -> None:
    Todo.objects.create(user=alice, title="Now", completed_at=timezone.now())
    Todo.objects.create(user=alice, title="Then", completed_at=NOON - timedelta(days=365))

    recent = [
        choice["query_string"].lstrip("?")
        for filters in boss.get(LIST).context["cl"].filter_specs
        if filters.title == "completed"
        for choice in filters.choices(boss.get(LIST).context["cl"])
        if choice["display"] == "Past 7 days"
    ]
    assert titles(boss, recent[0]) == {"Now"}


def test_list_shows_moments_and_dates_as_the_console_does(boss: Client, alice: User) -> None:
    new_todos(alice, completed_at=NOON, due_on=date(2026, 3, 2))
    page = boss.get(LIST).content.decode()
    assert ">2026-03-01 12:00:00 UTC<" in page
    assert ">2026-03-02<" in page


def test_list_of_one_person(boss: Client, alice: User, bob: User) -> None:
    new_todos(alice, completed_at=None)
    Todo.objects.create(user=bob, title="Bob's")
    assert titles(boss, f"user__id__exact={bob.pk}&state=open") == {"Bob's"}


def test_completing_a_selection_counts_and_logs_what_was_open(boss: Client, alice: User) -> None:
    done = Todo.objects.create(user=alice, title="Done", completed_at=NOON)
    selected = [done, *new_todos(alice, each=2, completed_at=None)]
    other = Todo.objects.create(user=alice, title="Not selected")

    assert "2 todos completed." in act(boss, "complete", selected)

    assert list(Todo.objects.open()) == [other]
    done.refresh_from_db()
    assert done.completed_at == NOON
    logged = LogEntry.objects.order_by("pk").values_list("object_id", "change_message")
    assert set(logged) == {(str(todo.pk), "Completed.") for todo in selected[1:]}


def test_reopening_a_selection(boss: Client, alice: User) -> None:
    (done,) = new_todos(alice, completed_at=NOON)

    assert "1 todo reopened." in act(boss, "reopen", [done])
    assert "0 todos reopened." in act(boss, "reopen", [done])

    assert list(Todo.objects.open()) == [done]
    (entry,) = LogEntry.objects.all()
    assert str(entry) == f"Changed “todo {done.pk}” — Reopened."


def test_action_on_all_that_a_search_finds(boss: Client, alice: User, bob: User) -> None:
    new_todos(alice, each=120, completed_at=None)
    kept = new_todos(bob, completed_at=None)
    response = boss.post(
        f"{LIST}?q=alice",
        {"action": "complete", "select_across": "1", "_selected_action": [kept[0].pk]},
        follow=True,
    )
    assert "120 todos completed." in response.content.decode()
    assert list(Todo.objects.open()) == kept


def test_very_large_selection_is_logged_as_one(
    boss: Client, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "MAX_LOGGED_ROWS", 3)
    act(boss, "complete", new_todos(alice, each=4, completed_at=None))

    (entry,) = LogEntry.objects.all()
    assert (entry.object_repr, entry.change_message, entry.object_id) == (
        "4 todos",
        "Completed.",
        None,
    )
    assert "4 todos" in boss.get("/admin/").content.decode()


def rows_named_in_the_log() -> set[str]:
    return set(LogEntry.objects.values_list("object_repr", flat=True))


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("action", ["complete", "delete_selected"])
def test_selection_with_a_todo_that_somebody_holds_is_left_as_a_whole(
    admin_client: Client, action: str
) -> None:
    todos = new_todos(User.objects.create_user("alice"), each=2, completed_at=None)
    chosen = {"action": action, "_selected_action": [todo.pk for todo in todos], "post": "yes"}
    with short_of_patience(), locked("todos_todo", todos[0].pk):
        assert admin_client.post(LIST, chosen).status_code == 503
    assert list(Todo.objects.open().order_by("pk")) == todos
    assert not LogEntry.objects.exists()


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("action", ["complete", "delete_selected"])
def test_what_somebody_else_does_first_is_not_logged_as_done_here(
    admin_client: Client, action: str
) -> None:
    mine, theirs = new_todos(User.objects.create_user("alice"), each=2, completed_at=None)
    chosen = {"action": action, "_selected_action": [mine.pk, theirs.pk], "post": "yes"}
    if action == "complete":
        change_it = f"UPDATE todos_todo SET completed_at = now() WHERE id = {theirs.pk}"
    else:
        change_it = f"DELETE FROM todos_todo WHERE id = {theirs.pk}"
    with ThreadPoolExecutor(1) as pool, locked("todos_todo", theirs.pk) as other:
        other.execute(change_it)
        acting = pool.submit(in_another_connection, lambda: admin_client.post(LIST, chosen))
        wait_until(somebody_waits_for_a_lock, seconds=30, otherwise=lambda: "nobody waited")
        other.commit()
        assert acting.result(30).status_code == 302
    assert rows_named_in_the_log() == {f"todo {mine.pk}"}


def somebody_waits_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        return bool(cursor.fetchone()[0])


def test_todo_that_the_database_keeps_is_not_logged_as_deleted(boss: Client, alice: User) -> None:
    kept, free = new_todos(alice, each=2, completed_at=None)
    Todo.objects.filter(pk=kept.pk).update(title="Stuck")
    refuse_to_delete("Stuck")
    page = act(boss, "delete_selected", [kept, free], post="yes")
    assert "1 todo deleted." in page
    assert "Some were not deleted" in page
    assert rows_named_in_the_log() == {f"todo {free.pk}"}


def test_todo_that_is_deleted_twice_is_logged_once(
    boss: Client, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    (todo,) = new_todos(alice, completed_at=None)
    address = reverse("admin:todos_todo_delete", args=[todo.pk])
    get_object = TodoAdmin.get_object

    def deleted_meanwhile(*arguments: Any) -> Any:
        found = get_object(*arguments)
        Todo.objects.all().delete()
        return found

    monkeypatch.setattr(TodoAdmin, "get_object", deleted_meanwhile)
    page = boss.post(address, {"post": "yes"}, follow=True).content.decode()
    assert "Somebody else has deleted this todo meanwhile." in page
    assert not LogEntry.objects.exists()


def test_deleting_a_selection(boss: Client, alice: User) -> None:
    todos = new_todos(alice, each=3, completed_at=None)
    assert "Are you sure" in act(boss, "delete_selected", todos[:2])
    assert Todo.objects.count() == 3

    act(boss, "delete_selected", todos[:2], post="yes")
    assert list(Todo.objects.all()) == todos[2:]


def test_deleted_todos_can_be_found_in_the_trash(boss: Client, alice: User) -> None:
    first, second, third = new_todos(alice, each=3, completed_at=None)
    by = User.objects.get(username="admin")
    assert "for 30 days" in act(boss, "delete_selected", [first])

    page = act(boss, "delete_selected", [first, second], post="yes")
    boss.post(reverse("admin:todos_todo_delete", args=[third.pk]), {"post": "yes"})

    assert "2 todos deleted. They can be restored from the trash for 30 days." in page
    trash = TrashedTodo.objects.order_by("pk").values_list("pk", "user", "trashed_by", "run_id")
    assert list(trash) == [(todo.pk, alice.pk, by.pk, None) for todo in (first, second, third)]
    logged = LogEntry.objects.filter(action_flag=DELETION).values_list("object_id", flat=True)
    assert set(logged) == {str(todo.pk) for todo in (first, second, third)}


def test_large_selection_is_deleted_without_being_loaded(boss: Client, alice: User) -> None:
    asked = []
    for count in (30, 3_000):
        Todo.objects.all().delete()
        new_todos(alice, each=count, completed_at=None)
        everything = {"action": "delete_selected", "select_across": "1", "_selected_action": ["0"]}
        with CaptureQueriesContext(connection) as queries:
            confirmation = boss.post(LIST, everything).content.decode()
            fields = dict(
                re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', confirmation)
            )
            page = boss.post(LIST, fields, follow=True).content.decode()
        asked.append(len(queries))
        assert f"{count:,} todos deleted." in page
        assert f"and {count - 20:,} more" in confirmation
        assert confirmation.count("_selected_action") == 1
        assert not Todo.objects.exists()
    few, many = asked
    assert many <= few + 4, "one statement for each range, not for each todo"


def test_confirmation_names_the_todos_that_were_ticked(boss: Client, alice: User) -> None:
    todos = new_todos(alice, each=3, completed_at=None)
    page = act(boss, "delete_selected", todos[:2])
    assert [todo.title in page for todo in todos] == [True, True, False]
    sent = re.findall(r'name="_selected_action" value="(\d+)"', page)
    assert sorted(map(int, sent)) == [todo.pk for todo in todos[:2]]


def test_without_a_trash_todos_are_gone_at_once(
    boss: Client, alice: User, settings: Settings
) -> None:
    settings.TODO_TRASH_DAYS = 0
    todos = new_todos(alice, each=2, completed_at=None)
    assert "restored from the trash" not in act(boss, "delete_selected", todos)
    assert "restored from the trash" not in act(boss, "delete_selected", todos, post="yes")
    assert not Todo.objects.exists()
    assert not TrashedTodo.objects.exists()


@pytest.mark.parametrize("action", ["complete", "reopen", "delete_selected"])
def test_staff_who_may_only_look_can_do_no_action(client: Client, alice: User, action: str) -> None:
    log_in_staff(client, "view_todo")
    open_one, done = new_todos(alice, completed_at=None) + new_todos(alice, completed_at=NOON)

    page = act(client, action, [open_one, done], post="yes")

    assert "Todo 0" in page
    assert f'value="{action}"' not in page
    assert list(Todo.objects.open()) == [open_one]
    assert list(Todo.objects.completed()) == [done]


def test_staff_who_may_change_todos_can_complete_but_not_delete_them(
    client: Client, alice: User
) -> None:
    log_in_staff(client, "view_todo", "change_todo")
    todos = new_todos(alice, each=2, completed_at=None)

    assert "2 todos completed." in act(client, "complete", todos)
    act(client, "delete_selected", todos, post="yes")
    assert Todo.objects.completed().count() == 2


def test_staff_who_may_only_look_see_a_todo_and_cannot_save_it(client: Client, alice: User) -> None:
    log_in_staff(client, "view_todo")
    (todo,) = new_todos(alice, completed_at=NOON)

    page = client.get(change(todo)).content.decode()
    assert "Todo 0" in page
    assert 'name="title"' not in page
    assert client.post(change(todo), form(done="")).status_code == 403
    assert list(Todo.objects.completed()) == [todo]


def test_staff_without_the_permission_do_not_see_the_list(client: Client, db: None) -> None:
    log_in_staff(client, "view_user")
    assert client.get(LIST).status_code == 403


def test_todo_is_not_added_to_a_list_that_is_full(
    boss: Client, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "MAX_TODOS", 1)
    new_todos(alice)
    page = boss.post(f"{LIST}add/", form(user=str(alice.pk), title="One more")).content.decode()
    assert "Their list is full" in page
    assert Todo.objects.count() == 1


def test_todo_added_in_the_admin_is_as_the_service_makes_it(boss: Client, alice: User) -> None:
    data = form(user=str(alice.pk), title="  Water \t the plants ", due_on="2026-04-01")

    page = boss.post(f"{LIST}add/", data, follow=True).content.decode()

    todo = Todo.objects.get()
    assert (todo.user, todo.title, todo.due_on) == (alice, "Water the plants", date(2026, 4, 1))
    assert todo.completed_at is None
    assert "was added successfully" in page
    logged = LogEntry.objects.get()
    assert (logged.object_id, logged.object_repr) == (str(todo.pk), f"todo {todo.pk}")


def test_todo_can_be_edited_completed_and_reopened_in_its_form(boss: Client, alice: User) -> None:
    (todo,) = new_todos(alice, completed_at=None)

    boss.post(change(todo), form(title=" New\u3000title", description="Text", done="on"))
    todo.refresh_from_db()
    assert (todo.title, todo.description, todo.is_completed) == ("New title", "Text", True)
    logged = LogEntry.objects.get().get_change_message()
    assert logged == "Changed Title, Description and Done."

    boss.post(change(todo), form(title="New title", **{"initial-done": "True"}))
    todo.refresh_from_db()
    assert (todo.description, todo.is_completed) == ("", False)


def test_saving_keeps_the_owner_and_the_times(boss: Client, alice: User, bob: User) -> None:
    (todo,) = new_todos(alice, completed_at=NOON)
    created_at = todo.created_at
    more = {"user": str(bob.pk), "created_at": "2020-01-01", "completed_at": "2020-01-01"}

    boss.post(change(todo), form(done="on", **{"initial-done": "True"}, **more))

    todo.refresh_from_db()
    assert (todo.title, todo.user) == ("Title", alice)
    assert (todo.completed_at, todo.created_at) == (NOON, created_at)


def test_todo_completed_by_its_owner_while_the_form_was_open_stays_completed(
    boss: Client, alice: User
) -> None:
    (todo,) = new_todos(alice, completed_at=None)
    assert 'name="initial-done" value="False"' in boss.get(change(todo)).content.decode()
    Todo.objects.filter(pk=todo.pk).update(completed_at=NOON)

    boss.post(change(todo), form())

    todo.refresh_from_db()
    assert (todo.title, todo.completed_at) == ("Title", NOON)


def test_enter_key_in_the_form_saves(boss: Client, alice: User) -> None:
    """A browser presses the form's first button: that of an action would lose what was typed."""
    (todo,) = new_todos(alice, completed_at=None)
    page = boss.get(change(todo)).content.decode()
    form_of_todo = page[page.index('id="todo_form"') :]
    assert (
        re.findall(r'<(?:input|button) type="submit"[^>]*name="(\w+)"', form_of_todo)[0] == "_save"
    )
    assert "<button" not in form_of_todo


def test_todo_swept_while_its_form_is_saved_is_not_found(
    boss: Client, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    (todo,) = new_todos(alice, completed_at=None)

    def sweep(_: object) -> None:
        Todo.objects.all().delete()

    monkeypatch.setattr(TodoForm, "clean", sweep)
    assert boss.post(change(todo), form()).status_code == 404


@pytest.mark.parametrize("title", ["", "  ", "x" * 201, "nul\x00"])
def test_wrong_title_is_an_error_of_the_form(boss: Client, alice: User, title: str) -> None:
    response = boss.post(f"{LIST}add/", form(user=str(alice.pk), title=title))
    assert "title" in response.context["adminform"].form.errors
    assert not Todo.objects.exists()


def test_todo_that_is_gone_is_not_found(boss: Client, alice: User) -> None:
    (todo,) = new_todos(alice, completed_at=None)
    address = change(todo)
    Todo.objects.all().delete()
    assert "Perhaps it was deleted?" in boss.post(address, form(), follow=True).content.decode()


def test_deleting_one_todo(boss: Client, alice: User) -> None:
    todo, other = new_todos(alice, each=2, completed_at=None)
    boss.post(reverse("admin:todos_todo_delete", args=[todo.pk]), {"post": "yes"})
    assert list(Todo.objects.all()) == [other]


def test_hostile_title_is_shown_as_text_everywhere(boss: Client, alice: User) -> None:
    todo = Todo.objects.create(user=alice, title=HOSTILE)
    new_todos(alice, completed_at=None)
    pages = [
        boss.get(LIST),
        boss.get(change(todo)),
        boss.get(reverse("admin:todos_todo_delete", args=[todo.pk])),
        boss.post(LIST, {"action": "delete_selected", "_selected_action": [todo.pk]}),
        boss.post(change(todo), form(title=HOSTILE, description=HOSTILE), follow=True),
        boss.get(reverse("admin:todos_todo_history", args=[todo.pk])),
    ]
    for response in pages:
        html = response.content.decode()
        assert response.status_code == 200
        assert "&lt;script&gt;alert(1)" in html
        assert "<script>alert" not in html
        assert not Page(html).blocked
    assert "script&gt;alert(1)" not in boss.get("/admin/").content.decode(), "the log names ids"


def test_long_title_takes_one_short_cell_of_its_row(boss: Client, alice: User) -> None:
    Todo.objects.create(user=alice, title=HOSTILE)
    new_todos(alice, completed_at=None)

    header, ordinary, hostile = Page(boss.get(LIST).content.decode()).rows

    assert len(header) == len(ordinary) == len(hostile)
    assert hostile[2] == HOSTILE[:49] + "…"


@pytest.mark.parametrize("page", ["", "add/", "?q=todo&state=open", "{pk}/change/", "{pk}/delete/"])
def test_pages_work_under_the_content_security_policy(boss: Client, alice: User, page: str) -> None:
    (todo,) = new_todos(alice, completed_at=None)
    response = boss.get(LIST + page.format(pk=todo.pk))
    assert response.status_code == 200
    assert "default-src 'self'" in response.headers["Content-Security-Policy"]
    assert Page(response.content.decode()).blocked == []


def test_site_is_called_tidy(boss: Client) -> None:
    page = boss.get("/admin/").content.decode()
    assert "<title>People and todos | Tidy</title>" in page
    assert '<a href="/admin/">Tidy</a>' in page
