"""A sweep continues after any interruption, and its counts are those of the rows that went."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.utils import timezone
from dramatiq import MessageProxy

from accounts.models import User
from tasks.engine.broker.waking import WakingBroker
from tasks.engine.heartbeat import Heartbeat
from tasks.engine.models import (
    Attempt,
    Outcome,
    Process,
    ProcessKind,
    State,
    TaskRun,
    Trigger,
)
from tasks.engine.runs.execution import (
    LOST_STEPS,
    Continued,
    Execution,
    ProgressLost,
    RunTakenOver,
    shutting_down,
)
from tasks.engine.worker.closing import close_attempt
from tests.factories import AS_OF, give, new_run
from tests.todos.sweeping import refuse_to_delete
from todos.bulk.checkpoint import Checkpoint
from todos.models import Todo, TrashedTodo
from todos.services import TodoService

#: Todos to sweep, two at a time.
TODOS = 9
BATCHES = 5


class Killed(BaseException):
    """Stands for the end of a process: nothing catches it."""


@pytest.fixture
def run(transactional_db: None) -> TaskRun:
    """A cleanup that waits in the queue."""
    return new_run(State.QUEUED, scheduled_for=AS_OF)


def start(run: TaskRun) -> Execution:
    """Start the run in a new process, as if the one before were gone."""
    Process.objects.all().delete()
    run_now = TaskRun.objects.get(pk=run.pk)
    if run_now.state == State.RUNNING:
        assert run_now.release()
        assert run_now.mark_sent()
    heartbeat = Heartbeat(ProcessKind.WORKER)
    heartbeat.beat()
    assert run_now.start(heartbeat.id)
    return Execution(run_now, heartbeat)


def sweep(execution: Execution, **options: Any) -> int:
    return TodoService.sweep(as_of=execution.as_of, batch_size=2, store=execution, **options)[
        "todos_deleted"
    ]


def killed_after(batches: int) -> Callable[[object], None]:
    """Return what ends the process after so many batches."""
    done = 0

    def die(_: object) -> None:
        nonlocal done
        done += 1
        if done == batches:
            raise Killed

    return die


def progress_of(run: TaskRun) -> dict[str, Any]:
    progress: dict[str, Any] = TaskRun.objects.get(pk=run.pk).progress
    return progress


@pytest.mark.parametrize("batches", range(1, BATCHES + 1))
def test_sweep_killed_after_any_batch_goes_on_and_counts_each_todo_once(
    alice: User, run: TaskRun, batches: int
) -> None:
    give(alice, completed=TODOS)
    give(alice, completed=0, open_=2)

    with pytest.raises(Killed):
        sweep(start(run), on_batch=killed_after(batches))
    assert progress_of(run)["rows"] == TODOS + 2 - Todo.objects.count()

    assert sweep(start(run)) == TODOS
    assert Todo.objects.count() == Todo.objects.open().count() == 2


def test_sweep_killed_within_a_batch_takes_it_back_whole(
    alice: User, run: TaskRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(alice, completed=TODOS)
    kill_at_save(monkeypatch, number=3)
    with pytest.raises(Killed):
        sweep(start(run))
    monkeypatch.undo()
    assert progress_of(run)["rows"] == TODOS - Todo.objects.count() == 2
    assert sweep(start(run)) == TODOS


def kill_at_save(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """End the process at the given save of the checkpoint, before the transaction commits."""
    saves = iter(range(1, 100))
    save = TaskRun.save_progress

    def save_or_die(self: TaskRun, *arguments: Any, **options: Any) -> bool:
        if next(saves) == number:
            raise Killed
        return save(self, *arguments, **options)

    monkeypatch.setattr(TaskRun, "save_progress", save_or_die)


@pytest.mark.parametrize("batches", range(1, BATCHES + 1))
def test_of_two_who_hold_the_same_run_only_the_later_sweeps_on(
    alice: User, run: TaskRun, batches: int
) -> None:
    give(alice, completed=TODOS)
    seen: list[Checkpoint[int]] = []
    counts: list[int] = []

    def meanwhile_another_takes_it_up(checkpoint: Checkpoint[int]) -> None:
        seen.append(checkpoint)
        if len(seen) == batches:
            counts.append(sweep(start(run)))

    first = start(run)
    if batches == BATCHES:  # There is no step left at which it would notice.
        assert sweep(first, on_batch=meanwhile_another_takes_it_up) == TODOS
        assert not first.run.succeed({})
    else:
        with pytest.raises(RunTakenOver):
            sweep(first, on_batch=meanwhile_another_takes_it_up)
    assert counts == [TODOS]
    assert progress_of(run)["rows"] == TODOS
    assert not Todo.objects.exists()


def test_person_whose_todos_cannot_go_is_named_once_after_many_slices(
    alice: User, bob: User, run: TaskRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.engine.runs.execution.SLICE_SECONDS", 0.0)
    for user, title in ((alice, "Stays"), (bob, "Goes"), (alice, "Stays"), (bob, "Goes")):
        Todo.objects.create(user=user, title=title, completed_at="2026-01-01T00:00:00Z")
    with refusing("Stays"):
        for _ in range(50):
            try:
                swept = sweep(start(run))
            except Continued:
                TaskRun.objects.update(state=State.QUEUED)
            else:
                break
    assert swept == 2
    assert [error["user_id"] for error in progress_of(run)["errors"]] == [alice.pk]
    assert set(Todo.objects.values_list("title", flat=True)) == {"Stays"}


@contextmanager
def refusing(title: str) -> Iterator[None]:
    """Have the database refuse to delete todos of this title."""
    from django.db import connection  # noqa: PLC0415

    refuse_to_delete(title)
    try:
        yield
    finally:
        on = " ON todos_todo" if connection.vendor == "postgresql" else ""
        with connection.cursor() as cursor:
            cursor.execute(f"DROP TRIGGER refuse{on}")
            if on:
                cursor.execute("DROP FUNCTION refuse")


@pytest.mark.parametrize("batches", range(2, BATCHES + 1))
def test_sweep_whose_last_steps_the_database_has_lost_begins_anew_and_counts_each_todo_once(
    alice: User, run: TaskRun, broker: WakingBroker, batches: int
) -> None:
    """Steps do not wait for the disk: a server that dies loses the last of them."""
    give(alice, completed=TODOS)
    seen: list[Checkpoint[int]] = []
    kept: list[tuple[dict[str, Any], list[int]]] = []

    def lose_the_last_step(checkpoint: Checkpoint[int]) -> None:
        seen.append(checkpoint)
        kept.append((progress_of(run), list(TrashedTodo.objects.values_list("pk", flat=True))))
        if len(seen) == batches:
            progress_then, trash_then = kept[-2]
            TodoService.restore_selected(todos=TrashedTodo.objects.exclude(pk__in=trash_then))
            Todo.objects.update(restored_at=None)
            TaskRun.objects.filter(pk=run.pk).update(progress=progress_then)

    attempt, lost = start(run), None
    if batches == BATCHES:  # There is no step left at which it would notice, but its end.
        assert sweep(attempt, on_batch=lose_the_last_step) == TODOS
        assert not attempt.is_stored()
    else:
        with pytest.raises(ProgressLost) as raised:
            sweep(attempt, on_batch=lose_the_last_step)
        lost = raised.value
    close_attempt(broker, MessageProxy(attempt.run.message()), attempt, None, lost)
    ended = Attempt.objects.get(run=run)
    assert (ended.outcome, ended.error) == (Outcome.INTERRUPTED, LOST_STEPS)
    again = start(run)
    assert sweep(again) == TODOS == TrashedTodo.objects.count()
    assert again.is_stored()


def test_sweep_told_to_stop_stops_before_its_next_batch(alice: User, run: TaskRun) -> None:
    give(alice, completed=TODOS)
    with pytest.raises(Continued):
        sweep(start(run), on_batch=lambda _: shutting_down.set())
    shutting_down.clear()
    assert progress_of(run)["rows"] == TODOS - Todo.objects.count() == 2


@pytest.mark.parametrize("batches", range(1, BATCHES + 1))
def test_restoring_killed_after_any_batch_goes_on_and_counts_each_todo_once(
    alice: User, run: TaskRun, batches: int
) -> None:
    give(alice, completed=TODOS)
    give(alice, completed=0, open_=2)
    before = set(Todo.objects.values_list("pk", "completed_at"))
    swept = TodoService.sweep(as_of=AS_OF, store=start(run))
    assert swept["todos_deleted"] == TODOS
    undo = new_run(State.QUEUED, task="todo.restore", trigger=Trigger.ADMIN)

    def restore(**options: Any) -> dict[str, Any]:
        return dict(
            TodoService.restore_selected(
                todos=TrashedTodo.objects.swept_by(run.pk),
                batch_size=2,
                store=start(undo),
                **options,
            )
        )

    with pytest.raises(Killed):
        restore(on_batch=killed_after(batches))
    assert progress_of(undo)["rows"] == Todo.objects.completed().count()

    assert restore() == {"todos_restored": TODOS, "todos_left": 0, "errors": []}
    assert set(Todo.objects.values_list("pk", "completed_at")) == before


@pytest.mark.parametrize("batches", [1, 2, 4])
def test_purge_killed_after_any_batch_goes_on_and_counts_each_todo_once(
    alice: User, run: TaskRun, batches: int
) -> None:
    # Each has come to the trash at a moment of its own.
    for _ in range(TODOS):
        give(alice, completed=1)
        TodoService.delete_completed_todos(user=alice)

    def purge(**options: Any) -> int:
        report = TodoService.purge(
            as_of=timezone.now(), days=0, batch_size=2, store=start(run), **options
        )
        return report["todos_purged"]

    with pytest.raises(Killed):
        purge(on_batch=killed_after(batches))
    assert TrashedTodo.objects.count() == TODOS - 2 * batches
    assert purge() == TODOS
    assert not TrashedTodo.objects.exists()
