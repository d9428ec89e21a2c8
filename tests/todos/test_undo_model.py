"""Sweeps, restorings, purges and what people do, in any order, against a model in plain Python."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from accounts.models import User
from tests.examples import examples
from tests.todos.clocks import database_says, host_says
from tests.todos.sweeping import Run
from todos.models import Todo, TrashedTodo
from todos.rules import KEEP_RESTORED_DAYS
from todos.services import TodoNotFound, TodoService

START = datetime(2026, 3, 1, 2, tzinfo=UTC)
DAY = timedelta(days=1)
TRASH_DAYS = 10


@dataclass(frozen=True)
class Person:
    is_active: bool
    auto_cleanup: bool
    keep_completed_days: int | None


@dataclass(frozen=True)
class Model:
    """One todo, wherever it is."""

    owner: int
    completed_at: datetime | None
    restored_at: datetime | None = None
    trashed_at: datetime | None = None
    run_id: int | None = None


def is_due(person: Person, todo: Model, *, as_of: datetime, keep_days: int) -> bool:
    """The rule, as the README states it."""
    keep = keep_days if person.keep_completed_days is None else person.keep_completed_days
    restored_keep = max(keep, KEEP_RESTORED_DAYS) * DAY
    return (
        person.is_active
        and person.auto_cleanup
        and todo.completed_at is not None
        and todo.completed_at < as_of - keep * DAY
        and (todo.restored_at is None or todo.restored_at < as_of - restored_keep)
    )


people = st.lists(
    st.builds(
        Person,
        is_active=st.booleans() | st.just(value=True),
        auto_cleanup=st.booleans() | st.just(value=True),
        keep_completed_days=st.sampled_from([None, None, 0, 1, 9]),
    ),
    min_size=1,
    max_size=3,
)
todos = st.lists(
    st.builds(
        Model,
        owner=st.integers(0, 2),
        completed_at=st.none() | st.integers(-20, 10).map(lambda days: START + days * DAY),
    ),
    max_size=8,
)
actions = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.integers(1, 12)),
        st.tuples(st.just("sweep"), st.sampled_from([0, 5])),
        st.tuples(st.just("undo run"), st.integers(0, 3)),
        st.tuples(st.just("undo last"), st.integers(0, 2)),
        st.tuples(st.just("restore"), st.integers(0, 7)),
        st.tuples(st.just("delete"), st.integers(0, 7)),
        st.tuples(st.just("reopen"), st.integers(0, 7)),
        st.tuples(st.just("complete"), st.integers(0, 7)),
        st.tuples(st.just("purge"), st.just(0)),
    ),
    max_size=12,
)


class World:
    """The model of both tables, and the tables beside it."""

    def __init__(self, people: list[Person], todos: list[Model], batch_size: int) -> None:
        Todo.objects.all().delete()
        TrashedTodo.objects.all().delete()
        User.objects.all().delete()
        self.people = people
        self.batch_size = batch_size
        self.users = [
            User.objects.create(username=f"user{number}", **vars(person))
            for number, person in enumerate(people)
        ]
        self.list: dict[int, Model] = {}
        self.trash: dict[int, Model] = {}
        self.ids: list[int] = []
        self.now = START
        self.runs = 0
        for todo in todos:
            owner = todo.owner % len(people)
            made = Todo.objects.create(
                user=self.users[owner], title="x", completed_at=todo.completed_at
            )
            self.list[made.pk] = replace(todo, owner=owner)
            self.ids.append(made.pk)

    def id(self, number: int) -> int:
        return self.ids[number % len(self.ids)] if self.ids else 0

    def move_to_trash(self, ids: list[int], run_id: int | None) -> None:
        for pk in ids:
            self.trash[pk] = replace(self.list.pop(pk), trashed_at=self.now, run_id=run_id)

    def move_back(self, ids: list[int]) -> None:
        for pk in ids:
            self.list[pk] = replace(
                self.trash.pop(pk), restored_at=self.now, trashed_at=None, run_id=None
            )

    def wait(self, days: int) -> None:
        self.now += days * DAY

    def sweep(self, keep_days: int) -> None:
        self.runs += 1
        due = [
            pk
            for pk, todo in self.list.items()
            if is_due(self.people[todo.owner], todo, as_of=self.now, keep_days=keep_days)
        ]
        preview = TodoService.preview_sweep(as_of=self.now, keep_days=keep_days)
        report = TodoService.sweep(
            as_of=self.now,
            keep_days=keep_days,
            batch_size=self.batch_size,
            store=Run(self.runs),
        )
        assert report == preview
        assert report["todos_deleted"] == len(due)
        self.move_to_trash(due, self.runs)

    def undo_run(self, run_id: int) -> None:
        back = [pk for pk, todo in self.trash.items() if todo.run_id == run_id]
        selection = TrashedTodo.objects.swept_by(run_id)
        preview = TodoService.preview_restore(todos=selection)
        report = TodoService.restore_selected(todos=selection, batch_size=self.batch_size)
        assert report == preview == {"todos_restored": len(back), "todos_left": 0, "errors": []}
        self.move_back(back)

    def undo_last(self, number: int) -> None:
        owner = number % len(self.people)
        runs = [t.run_id for t in self.trash.values() if t.owner == owner and t.run_id]
        back = [
            pk
            for pk, todo in self.trash.items()
            if todo.owner == owner and runs and todo.run_id == max(runs)
        ]
        report = TodoService.restore_last_sweep(user=self.users[owner])
        assert report["todos_restored"] == len(back)
        self.move_back(back)

    def one(self, verb: str, number: int) -> None:
        """Do something to one todo, which works if and only if it is where it should be."""
        pk = self.id(number)
        there = self.trash if verb == "restore" else self.list
        todo = there.get(pk)
        user = self.users[todo.owner if todo else 0]
        try:
            getattr(TodoService, verb)(user=user, todo_id=pk)
        except TodoNotFound:
            assert todo is None
            return
        assert todo is not None
        if verb == "restore":
            self.move_back([pk])
        elif verb == "delete":
            self.move_to_trash([pk], None)
        elif verb == "reopen":
            self.list[pk] = replace(todo, completed_at=None)
        else:
            self.list[pk] = replace(todo, completed_at=todo.completed_at or self.now)

    def purge(self) -> None:
        old = [
            pk
            for pk, todo in self.trash.items()
            if todo.trashed_at and todo.trashed_at < self.now - TRASH_DAYS * DAY
        ]
        report = TodoService.purge(as_of=self.now, days=TRASH_DAYS, batch_size=self.batch_size)
        assert report == {"todos_purged": len(old), "errors": []}
        for pk in old:
            del self.trash[pk]

    def act(self, action: tuple[str, int]) -> None:
        name, argument = action
        # Whatever asks for the time is told the model's.
        with host_says(self.now), database_says(self.now):
            match name:
                case "wait":
                    self.wait(argument)
                case "sweep":
                    self.sweep(argument)
                case "undo run":
                    self.undo_run(argument)
                case "undo last":
                    self.undo_last(argument)
                case "purge":
                    self.purge()
                case _:
                    self.one(name, argument)

    def check(self) -> None:
        fields = ("completed_at", "restored_at")
        assert {
            todo.pk: (todo.user, todo.completed_at, todo.restored_at)
            for todo in Todo.objects.select_related("user")
        } == {
            pk: (self.users[todo.owner], *(getattr(todo, name) for name in fields))
            for pk, todo in self.list.items()
        }
        more = ("trashed_at", "run_id")
        assert {
            todo.pk: (todo.user, *(getattr(todo, name) for name in fields + more))
            for todo in TrashedTodo.objects.select_related("user")
        } == {
            pk: (self.users[todo.owner], *(getattr(todo, name) for name in fields + more))
            for pk, todo in self.trash.items()
        }


@pytest.mark.django_db
@hypothesis_settings(
    max_examples=examples(120),
    deadline=None,
    # The fixture is the database; each example clears what it needs.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(people=people, todos=todos, actions=actions, batch_size=st.sampled_from([1, 2, 1000]))
def test_both_tables_are_as_the_model_has_them_whatever_is_done_in_whatever_order(
    people: list[Person],
    todos: list[Model],
    actions: list[tuple[str, int]],
    batch_size: int,
) -> None:
    world = World(people, todos, batch_size)
    for action in actions:
        world.act(action)
        world.check()
