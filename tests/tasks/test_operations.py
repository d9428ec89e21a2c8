"""What operators do by hand."""

from datetime import timedelta

import pytest
from django.db.models.functions import Now

from accounts.models import User
from tasks import operations
from tasks.broker import WakingBroker, Whereabouts
from tasks.models import Schedule, State, TaskRun, Trigger
from tasks.names import TaskName
from tasks.operations import Refused
from todos.models import Todo, TrashedTodo

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]


@pytest.fixture
def boss(transactional_db: None) -> User:
    return User.objects.create_superuser("boss")


@pytest.fixture
def nightly(transactional_db: None) -> Schedule:
    return Schedule.objects.create(task=TaskName.TODO_CLEANUP, crontab="0 2 * * *")


def new_run(state: State = State.SUCCEEDED, **values: object) -> TaskRun:
    ended = state in {State.SUCCEEDED, State.FAILED, State.SKIPPED}
    defaults: dict[str, object] = {
        "task": TaskName.TODO_CLEANUP,
        "trigger": Trigger.SCHEDULE,
        "queue": "default",
        "finished_at": Now() if ended else None,
    }
    run = TaskRun.objects.create(state=state, **{**defaults, **values})
    return TaskRun.objects.get(pk=run.pk)


def swept_by(run: TaskRun, user: User) -> int:
    """Have a run have taken a todo; return its id."""
    todo = Todo.objects.create(user=user, title="Done", completed_at=run.created_at)
    fields = {field.attname: getattr(todo, field.attname) for field in Todo.stored_fields()}
    todo.delete()
    TrashedTodo.objects.create(**fields, trashed_at=run.created_at, run_id=run.pk)
    return int(fields["id"])


def test_run_now_is_asked_for_by_staff_and_sent_at_once(
    nightly: Schedule, boss: User, broker: WakingBroker
) -> None:
    run = operations.run_now(nightly, by=boss)

    stored = TaskRun.objects.get(pk=run.pk)
    assert (stored.task, stored.trigger, stored.requested_by) == (
        *(TaskName.TODO_CLEANUP, Trigger.ADMIN, boss),
    )
    assert (stored.state, stored.scheduled_for) == (State.QUEUED, None)
    assert broker.where("default", [str(stored.delivery)]) == {
        str(stored.delivery): Whereabouts.WAITING
    }


@pytest.mark.parametrize("state", [State.PENDING, State.QUEUED, State.RUNNING])
def test_run_now_is_refused_while_a_run_is_unfinished(
    nightly: Schedule, boss: User, state: State
) -> None:
    unfinished = new_run(state)
    with pytest.raises(Refused, match=f"Run {unfinished.pk} of todo.cleanup is unfinished"):
        operations.run_now(nightly, by=boss)
    assert TaskRun.objects.count() == 1


def test_task_that_this_code_does_not_know_is_refused(boss: User) -> None:
    schedule = Schedule.objects.create(task="of.another.version", every=60)
    with pytest.raises(Refused, match=r"no actor for of\.another\.version"):
        operations.run_now(schedule, by=boss)


def test_run_again_has_the_same_arguments(boss: User) -> None:
    first = new_run(State.FAILED, arguments={"args": [], "kwargs": {"keep_days": 3}})
    again = operations.run_again(first, by=boss)
    assert TaskRun.objects.get(pk=again.pk).arguments == first.arguments
    assert again.message_id != first.message_id


def test_cancelled_run_is_skipped_and_says_by_whom(boss: User) -> None:
    run = new_run(State.QUEUED)
    operations.cancel(run, by=boss)
    run = TaskRun.objects.get(pk=run.pk)
    assert (run.state, run.reason) == (State.SKIPPED, "Cancelled by boss.")


def test_run_that_has_started_is_not_cancelled(boss: User) -> None:
    run = new_run(State.RUNNING, attempts=1)
    with pytest.raises(Refused, match="has started or ended meanwhile"):
        operations.cancel(run, by=boss)


def test_undo_is_a_run_that_restores(boss: User) -> None:
    run = new_run()
    swept_by(run, boss)
    assert operations.can_be_undone(run)
    assert operations.check_undoable(run)["todos_restored"] == 1

    undoing = operations.undo(run, by=boss)

    assert undoing.task == TaskName.TODO_RESTORE
    assert undoing.arguments == {"args": [], "kwargs": {"run_id": run.pk}}
    with pytest.raises(Refused, match="unfinished"):
        operations.undo(run, by=boss)


def test_run_that_took_nothing_has_nothing_to_undo(boss: User) -> None:
    run = new_run()
    assert not operations.can_be_undone(run)
    with pytest.raises(Refused, match="is in the trash any more"):
        operations.undo(run, by=boss)


def test_only_a_cleanup_that_has_ended_can_be_undone(boss: User) -> None:
    running, ping = new_run(State.RUNNING), new_run(task=TaskName.PING)
    swept_by(running, boss)
    assert not operations.can_be_undone(running)
    with pytest.raises(Refused, match="has not ended yet"):
        operations.undo(running, by=boss)
    with pytest.raises(Refused, match="is no cleanup, but ping"):
        operations.undo(ping, by=boss)


def test_slots_of_a_pause_are_not_caught_up(nightly: Schedule) -> None:
    long_ago = nightly.effective_since - timedelta(days=3)
    Schedule.objects.update(effective_since=long_ago)
    assert operations.switch(nightly, on=False)
    assert not operations.switch(nightly, on=False)
    assert not Schedule.objects.get().enabled
    assert operations.switch(nightly, on=True)
    assert Schedule.objects.get().effective_since > long_ago + timedelta(days=2)
