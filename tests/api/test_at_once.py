"""Several programs at once, each in a thread with a connection of its own."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from functools import partial
from threading import Barrier, Event

import pytest
from django.utils import timezone

from accounts.models import User
from tests.api.clients import Answer, Program, ids_of, program_of
from tests.examples import examples
from tests.factories import new_todo, new_todos, new_token, trash
from tests.todos.locks import in_another_connection
from todos.models import IdempotencyKey, Todo, TrashedTodo
from todos.services import TodoService

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = examples(30)


def at_once(*requests: Callable[[], Answer]) -> list[Answer]:
    """Send requests at the same moment; return their answers, in the order of the requests."""
    together = Barrier(len(requests))

    def send(request: Callable[[], Answer]) -> Answer:
        together.wait(timeout=30)
        return request()

    with ThreadPoolExecutor(len(requests)) as pool:
        sent = [pool.submit(in_another_connection, partial(send, request)) for request in requests]
        return [one.result(timeout=60) for one in sent]


def statuses(answers: Sequence[Answer]) -> list[int]:
    return sorted(answer.status for answer in answers)


@pytest.fixture
def other(alice: User) -> Program:
    """Another program of alice's."""
    return program_of(alice)


@pytest.fixture(autouse=True)
def _no_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("accounts.api.callers.REQUESTS_A_MINUTE", 10**9)
    monkeypatch.setattr("todos.limits.ADDS_A_MINUTE", 10**9)


def test_of_two_who_change_what_both_have_seen_one_wins(
    api: Program, other: Program, alice: User
) -> None:
    path = f"/todos/{new_todo(alice, title='Nobody').pk}"
    for number in range(ROUNDS):
        seen = api.get(path)
        first, second = at_once(
            partial(api.patch, path, {"title": f"One {number}"}, If_Match=seen.etag),
            partial(other.patch, path, {"description": f"Two {number}"}, If_Match=seen.etag),
        )
        assert statuses([first, second]) == [200, 412]
        winner = first if first.status == 200 else second
        now = api.get(path)
        assert (now.json, now.etag) == (winner.json, winner.etag)


def test_of_two_who_change_and_complete_what_both_have_seen_one_wins(
    api: Program, other: Program, alice: User
) -> None:
    for number in range(ROUNDS):
        path = f"/todos/{new_todo(alice, completed_at=None).pk}"
        tag = api.get(path).etag
        answers = at_once(
            partial(api.patch, path, {"title": f"One {number}"}, If_Match=tag),
            partial(other.post, f"{path}/complete", If_Match=tag),
        )
        assert statuses(answers) == [200, 412]
        now = api.get(path).json
        assert (now["title"] == f"One {number}") == (now["completed_at"] is None)


def test_of_two_who_change_and_delete_what_both_have_seen_one_wins(
    api: Program, other: Program, alice: User
) -> None:
    for number in range(ROUNDS):
        pk = new_todo(alice).pk
        tag = api.get(f"/todos/{pk}").etag
        changed, deleted = at_once(
            partial(api.patch, f"/todos/{pk}", {"title": f"One {number}"}, If_Match=tag),
            partial(other.delete, f"/todos/{pk}", If_Match=tag),
        )
        assert (changed.status, deleted.status) in {(200, 412), (404, 204)}
        assert TrashedTodo.objects.filter(pk=pk).exists() == (deleted.status == 204)


def test_of_two_who_change_preferences_that_both_have_seen_one_wins(
    api: Program, other: Program
) -> None:
    for number in range(ROUNDS):
        seen = api.get("/preferences")
        answers = at_once(
            partial(api.patch, "/preferences", {"keep_completed_days": number}, If_Match=seen.etag),
            partial(
                other.patch,
                "/preferences",
                {"shortcuts": not seen.json["shortcuts"]},
                If_Match=seen.etag,
            ),
        )
        assert statuses(answers) == [200, 412]
        winner = next(answer for answer in answers if answer.status == 200)
        assert api.get("/preferences").json == winner.json


def test_changes_of_different_fields_without_a_tag_are_both_kept(
    api: Program, other: Program, alice: User
) -> None:
    path = f"/todos/{new_todo(alice).pk}"
    for number in range(ROUNDS):
        answers = at_once(
            partial(api.patch, path, {"title": f"One {number}"}),
            partial(other.patch, path, {"description": f"Two {number}"}),
        )
        assert statuses(answers) == [200, 200]
        now = api.get(path).json
        assert (now["title"], now["description"]) == (f"One {number}", f"Two {number}")


def test_eight_requests_with_one_key_create_one_todo(alice: User) -> None:
    programs = [program_of(alice) for _ in range(8)]
    for number in range(max(1, ROUNDS // 5)):
        before = Todo.objects.count()
        answers = at_once(
            *(
                partial(program.post, "/todos", {"title": "Milk"}, Idempotency_Key=f"key-{number}")
                for program in programs
            )
        )
        assert statuses(answers) == [201] * 8, [answer.content for answer in answers]
        assert len({answer.json["id"] for answer in answers}) == 1
        replayed = [answer.headers["Idempotency-Replayed"] for answer in answers]
        assert sorted(replayed) == ["false", *["true"] * 7]
        assert Todo.objects.count() == before + 1
    assert IdempotencyKey.objects.count() == max(1, ROUNDS // 5)


def test_of_requests_with_one_key_that_ask_for_different_todos_one_creates_its_own(
    api: Program, other: Program
) -> None:
    for number in range(ROUNDS):
        answers = at_once(
            *(
                partial(program.post, "/todos", {"title": title}, Idempotency_Key=f"key-{number}")
                for program, title in ((api, "Milk"), (other, "Tea"))
            )
        )
        assert statuses(answers) == [201, 422]
    assert Todo.objects.count() == ROUNDS


def test_whoever_pages_sees_each_todo_that_stays_once_whatever_happens_meanwhile(
    api: Program, other: Program, alice: User
) -> None:
    long_ago = timezone.now() - timedelta(days=100)
    stays: list[int] = []
    leaves: list[int] = []
    for hours in range(100):  # So that each page has some of both.
        completed_at = long_ago + timedelta(hours=hours)
        stays += [todo.pk for todo in new_todos(alice, each=6, completed_at=None)]
        leaves += [todo.pk for todo in new_todos(alice, each=2, completed_at=completed_at)]
    over = Event()
    swept: list[int] = []

    def disturb() -> None:
        """Change the list all over: what is swept goes bit by bit, and some of it comes back."""
        while not over.is_set():
            done = len(swept)
            pk = stays[(done * 37) % len(stays)]
            day = date(2026, 12, 1) + timedelta(days=done % 300)
            assert other.patch(f"/todos/{pk}", {"due_on": day.isoformat()}).status == 200
            added = other.post("/todos", {"title": f"New {done}"}).json["id"]
            assert other.post(f"/todos/{added}/complete").status == 200
            report = TodoService.sweep(as_of=long_ago + timedelta(hours=done), keep_days=0)
            swept.append(report["todos_deleted"])
            other.post("/trash/restore", {"ids": leaves[max(0, 2 * done - 9) :][:3]})

    with ThreadPoolExecutor(1) as pool:
        disturbing = pool.submit(in_another_connection, disturb)
        try:
            for _ in range(max(2, ROUNDS // 6)):
                seen = pages(api, limit=20)
                assert len(seen) == len(set(seen)), "nothing is there twice"
                assert set(stays) <= set(seen)
        finally:
            over.set()
        disturbing.result(timeout=60)
    assert len([number for number in swept if number]) > 1


def pages(program: Program, *, limit: int) -> list[int]:
    """Return the ids on all pages of the list."""
    found: list[int] = []
    cursor = ""
    while True:
        answer = program.get(f"/todos?limit={limit}{cursor}")
        found += ids_of(answer)
        if answer.json["next_cursor"] is None:
            return found
        cursor = f"&cursor={answer.json['next_cursor']}"


def test_of_two_who_restore_one_todo_one_has_done_it(
    api: Program, other: Program, alice: User
) -> None:
    for _ in range(ROUNDS):
        (pk,) = trash(alice, "Gone")
        answers = at_once(
            partial(api.post, f"/trash/{pk}/restore"), partial(other.post, f"/trash/{pk}/restore")
        )
        assert statuses(answers) == [200, 404]
        assert Todo.objects.filter(pk=pk).count() == 1
        assert not TrashedTodo.objects.exists()


def test_todo_that_is_restored_and_deleted_for_good_at_once_is_one_of_both(
    api: Program, other: Program, alice: User
) -> None:
    for _ in range(ROUNDS):
        (pk,) = trash(alice, "Gone")
        restored, purged = at_once(
            partial(api.post, f"/trash/{pk}/restore"), partial(other.delete, f"/trash/{pk}")
        )
        assert (restored.status, purged.status) in {(200, 404), (404, 204)}
        assert Todo.objects.filter(pk=pk).exists() == (restored.status == 200)
        assert not TrashedTodo.objects.exists()


def test_todo_that_is_completed_and_deleted_at_once_is_in_the_trash_as_was_answered(
    api: Program, other: Program, alice: User
) -> None:
    for _ in range(ROUNDS):
        pk = new_todo(alice, completed_at=None).pk
        completed, deleted = at_once(
            partial(api.post, f"/todos/{pk}/complete"), partial(other.delete, f"/todos/{pk}")
        )
        assert deleted.status == 204
        assert completed.status in {200, 404}
        trashed = api.get(f"/trash/{pk}").json
        if completed.status == 200:
            assert trashed["completed_at"] == completed.json["completed_at"]
        assert not Todo.objects.exists()


def test_selections_that_overlap_restore_each_todo_once(
    api: Program, other: Program, alice: User
) -> None:
    for _ in range(ROUNDS):
        pks = trash(alice, *"abcdef")
        answers = at_once(
            partial(api.post, "/trash/restore", {"ids": pks[:4]}),
            partial(other.post, "/trash/restore", {"ids": pks[2:][::-1]}),
        )
        assert statuses(answers) == [200, 200], [answer.content for answer in answers]
        assert sum(answer.json["todos_restored"] for answer in answers) == 6
        assert not TrashedTodo.objects.exists()


def test_token_that_is_revoked_by_two_at_once_is_revoked_once(alice: User) -> None:
    for _ in range(ROUNDS):
        secret = new_token(alice)
        answers = at_once(*(partial(Program(secret).delete, "/me/token") for _ in range(2)))
        assert statuses(answers) in ([204, 401], [204, 404])
        assert Program(secret).get("/me").status == 401
