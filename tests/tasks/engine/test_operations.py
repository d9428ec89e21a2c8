"""What operators do by hand."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from threading import Barrier

import dramatiq
import pytest
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser, Permission
from django.utils import timezone

from accounts.models import User
from tasks.engine.broker.waking import WakingBroker
from tasks.engine.broker.whereabouts import Whereabouts
from tasks.engine.console.run_page import with_name
from tasks.engine.models import Schedule, State, TaskRun, Trigger
from tasks.engine.operations import runs as operations
from tasks.engine.operations.errors import Refused, Unconfirmed
from tasks.engine.operations.permissions import may, permission_to_start
from tasks.engine.operations.schedules import pause, resume
from tasks.names import TaskName
from tests.factories import new_run, swept_by
from tests.todos.locks import in_another_connection, locked

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]


@pytest.fixture
def boss(transactional_db: None) -> User:
    return User.objects.create_superuser("boss")


@pytest.fixture
def nightly(transactional_db: None) -> Schedule:
    return Schedule.objects.create(task=TaskName.TODO_CLEANUP, crontab="0 2 * * *")


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


def test_cancelled_run_says_by_whom_without_a_name(boss: User) -> None:
    run = new_run(State.QUEUED)
    operations.cancel(run, by=boss)
    run = TaskRun.objects.get(pk=run.pk)
    assert (run.state, run.reason) == (State.CANCELLED, f"Cancelled by user {boss.pk}.")


def test_run_that_has_started_is_not_cancelled(boss: User) -> None:
    run = new_run(State.RUNNING, attempts=1)
    with pytest.raises(Refused, match="has started or ended meanwhile"):
        operations.cancel(run, by=boss)


def test_undo_is_a_run_that_restores(boss: User) -> None:
    run = new_run()
    swept_by(run, boss)
    assert operations.may_undo(boss, run)
    assert operations.preview_undo(run)[0].startswith("1 todo will be restored")

    undoing = operations.undo(run, by=boss)

    assert undoing.task == TaskName.TODO_RESTORE
    assert undoing.arguments == {"args": [], "kwargs": {"run_id": run.pk}}
    with pytest.raises(
        Refused, match=f"Run {run.pk} is being undone by run {undoing.pk}"
    ) as second:
        operations.undo(run, by=boss)
    assert second.value.run_id == undoing.pk
    other = new_run()
    swept_by(other, boss)
    with pytest.raises(Refused, match=f"Run {undoing.pk} of todo.restore is unfinished"):
        operations.undo(other, by=boss)


def test_run_that_took_nothing_has_nothing_to_undo(boss: User) -> None:
    run = new_run()
    assert not operations.may_undo(boss, run)
    with pytest.raises(Refused, match="is in the trash anymore"):
        operations.undo(run, by=boss)


def test_only_a_cleanup_that_has_ended_can_be_undone(boss: User) -> None:
    running, ping = new_run(State.RUNNING), new_run(task=TaskName.PING)
    swept_by(running, boss)
    assert not operations.may_undo(boss, running)
    with pytest.raises(Refused, match="has not ended yet"):
        operations.undo(running, by=boss)
    with pytest.raises(Refused, match="Runs of ping cannot be undone"):
        operations.undo(ping, by=boss)


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED, State.CANCELLED])
def test_cleanup_can_be_undone_however_it_ended(boss: User, state: State) -> None:
    run = new_run(state)
    swept_by(run, boss)
    assert operations.may_undo(boss, run)
    assert operations.undo(run, by=boss).task == TaskName.TODO_RESTORE


# Who may start what.


def holder_of(*permissions: str) -> User:
    """Return somebody with these permissions, such as `tasks.start_taskrun`, and no others."""
    holder = User.objects.create_user("holder")
    for permission in permissions:
        app, codename = permission.split(".")
        holder.user_permissions.add(
            Permission.objects.get(content_type__app_label=app, codename=codename)
        )
    return holder


@pytest.mark.parametrize("task", TaskName)
def test_permission_that_an_actor_names_is_there_and_is_all_that_starting_it_takes(
    task: TaskName,
) -> None:
    user = holder_of(permission_to_start(task))
    # What bulk operations cannot do without; no other task needs any arguments.
    is_bulk = task in (TaskName.RUNS_RETRY, TaskName.RUNS_CANCEL, TaskName.RUNS_ACKNOWLEDGE)
    bound = {"matching": {}, "up_to": 0, "until": "2026-03-01T12:00:00+00:00"}
    before = new_run(task=task, arguments={"args": [], "kwargs": bound if is_bulk else {}})
    run = operations.run_again(before, by=user, confirmed=True)
    assert run.task == task


def test_destroying_and_undoing_take_permissions_of_their_own() -> None:
    permissions = {
        "ping": "tasks.start_taskrun",
        "todo.cleanup": "tasks.start_taskrun",
        "todo.purge": "todos.purge_trashedtodo",
        "todo.restore": "tasks.undo_taskrun",
        "runs.prune": "tasks.start_taskrun",
    }
    assert {task: permission_to_start(task) for task in permissions} == permissions
    assert permission_to_start("of.another.version") == "tasks.start_taskrun"


# Purges by hand.


def test_purge_by_hand_is_to_be_confirmed_with_the_count(boss: User) -> None:
    for _ in range(3):
        swept_by(new_run(created_at=timezone.now() - timedelta(days=2)), boss)
    again = new_run(task=TaskName.TODO_PURGE, arguments={"args": [], "kwargs": {"days": 0}})
    nightly = Schedule.objects.create(task=TaskName.TODO_PURGE, crontab="0 3 * * *")
    before = TaskRun.objects.count()

    with pytest.raises(Unconfirmed) as asked:
        operations.run_again(again, by=boss)
    assert asked.value.confirmation.lines[0] == "3 todos would be deleted for good."
    with pytest.raises(Unconfirmed) as asked:
        operations.run_now(nightly, by=boss)
    assert asked.value.confirmation.lines[0] == "0 todos would be deleted for good."
    assert TaskRun.objects.count() == before

    assert operations.run_again(again, by=boss, confirmed=True).arguments == again.arguments


@pytest.mark.parametrize(
    "arguments",
    [
        {"args": [1], "kwargs": {}},
        {"args": [], "kwargs": {"weeks": 1}},
        {"args": [], "kwargs": {"days": "soon"}},
        {"args": [], "kwargs": {"days": 10**12}},
        {"args": [], "kwargs": {"user_id": 10**30}},
        {"args": [], "kwargs": {"user_id": "nobody"}},
    ],
)
def test_purge_with_arguments_that_make_no_sense_is_refused(
    boss: User, arguments: dict[str, object]
) -> None:
    run = new_run(State.FAILED, task=TaskName.TODO_PURGE, arguments=arguments)
    with pytest.raises(Refused, match=r"arguments|no such person") as refused:
        operations.run_again(run, by=boss)
    assert not isinstance(refused.value, Unconfirmed)


@pytest.fixture
def awkward(broker: WakingBroker) -> Iterator[str]:
    """An actor whose parameters are called as those of our own functions: its name."""

    def act(task: str, by: str, actor: str, args: str, *, confirmed: str) -> None:
        """Do nothing."""

    name = "awkward.parameters"
    dramatiq.actor(actor_name=name, broker=broker, max_retries=0, time_limit=1000)(act)
    yield name
    del broker.actors[name]


def test_parameters_may_be_called_what_they_like(boss: User, awkward: str) -> None:
    kwargs = dict.fromkeys(("task", "by", "actor", "args", "confirmed"), "x")
    first = new_run(State.FAILED, task=awkward, arguments={"args": [], "kwargs": kwargs})
    again = operations.run_again(first, by=boss)
    assert again.arguments == {"args": [], "kwargs": kwargs}


# Two at once.


def refused_of_two(start: Callable[[], object]) -> list[str]:
    """Do something twice at the same time, on two connections; return why it was refused."""
    ready = Barrier(2)

    def press() -> str:
        _ = TaskRun.objects.exists()
        ready.wait(30)
        try:
            start()
        except Refused as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(2) as pool:
        pressed = [pool.submit(in_another_connection, press) for _ in range(2)]
        return [text for each in pressed if (text := each.result(60))]


def test_two_clicks_on_undo_start_one_restore(boss: User) -> None:
    for _ in range(10):
        run = new_run()
        swept_by(run, boss)
        refused = refused_of_two(partial(operations.undo, run, by=boss))
        undoing = TaskRun.objects.unfinished().get(task=TaskName.TODO_RESTORE)
        assert refused == [f"Run {run.pk} is being undone by run {undoing.pk}."]
        undoing.cancel("Enough.")


def test_two_clicks_on_run_again_start_one_run_of_a_task_without_a_schedule(boss: User) -> None:
    for _ in range(10):
        run = new_run(task=TaskName.RUNS_PRUNE)
        refused = refused_of_two(partial(operations.run_again, run, by=boss))
        started = TaskRun.objects.unfinished().get(task=TaskName.RUNS_PRUNE)
        assert refused == [f"Run {started.pk} of runs.prune is unfinished."]
        started.cancel("Enough.")


# Stopping.


@pytest.mark.parametrize("state", [State.PENDING, State.QUEUED])
def test_run_that_waits_is_stopped_at_once(boss: User, state: State) -> None:
    run = new_run(state, started_at=timezone.now(), progress={"rows": 7})
    assert operations.can_be_stopped(run)
    assert operations.stop(run, by=boss)
    assert (run.state, run.reason) == (State.CANCELLED, f"Stopped by user {boss.pk}.")
    assert run.summary == "7 todos swept to the trash"


def test_run_at_work_is_asked_to_stop_once(boss: User) -> None:
    run = new_run(State.RUNNING, started_at=timezone.now())
    assert operations.can_be_stopped(run)
    assert operations.stop(run, by=boss)
    asked_at = run.stop_requested_at
    assert asked_at
    assert (run.state, run.reason) == (State.RUNNING, f"Stopped by user {boss.pk}.")
    assert not operations.can_be_stopped(run)

    assert not operations.stop(run)
    assert (run.stop_requested_at, run.reason) == (asked_at, f"Stopped by user {boss.pk}.")


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED, State.CANCELLED, State.SKIPPED])
def test_run_that_has_ended_is_not_stopped(boss: User, state: State) -> None:
    run = new_run(state)
    assert not operations.can_be_stopped(run)
    with pytest.raises(Refused, match=f"Run {run.pk} of todo.cleanup has ended already: {state}"):
        operations.stop(run, by=boss)


def test_run_that_is_taken_up_and_put_back_between_two_looks_is_stopped_all_the_same(
    boss: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run(State.RUNNING, attempts=1, started_at=timezone.now())
    request_stop = TaskRun.request_stop

    def put_back_first(self: TaskRun, reason: str) -> bool:
        self.continue_later(after=timedelta())
        return request_stop(self, reason)

    monkeypatch.setattr(TaskRun, "request_stop", put_back_first)
    assert operations.stop(run, by=boss)
    assert run.state == State.CANCELLED


# Acknowledging.


def test_failure_is_acknowledged_once(boss: User) -> None:
    for run in (new_run(State.FAILED), new_run(has_errors=True)):
        operations.acknowledge(run, by=boss)
        run.refresh_from_db()
        assert run.acknowledged_at
        assert run.acknowledged_by == boss
        with pytest.raises(Refused, match="nothing to acknowledge, or has been acknowledged"):
            operations.acknowledge(run, by=boss)


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.CANCELLED, State.RUNNING])
def test_what_did_not_fail_has_nothing_to_acknowledge(boss: User, state: State) -> None:
    with pytest.raises(Refused, match="nothing to acknowledge"):
        operations.acknowledge(new_run(state), by=boss)


def test_all_are_acknowledged_up_to_the_newest_that_was_seen(boss: User) -> None:
    now = timezone.now()
    seen = [new_run(State.FAILED, finished_at=now - timedelta(hours=n)) for n in range(3)]
    new_run(State.FAILED, finished_at=now + timedelta(seconds=1))

    runs, left = operations.acknowledge_all(until=now, count=3, by=boss)

    assert left == 0
    assert {run.pk for run in runs} == {run.pk for run in seen}
    assert TaskRun.objects.unacknowledged().count() == 1


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_run_that_somebody_holds_keeps_no_other_from_being_acknowledged() -> None:
    boss = User.objects.create_user("boss")
    held, free = new_run(State.FAILED), new_run(State.FAILED)
    until = timezone.now() + timedelta(days=1)
    with locked("tasks_taskrun", held.pk):
        assert operations.acknowledge_all(until=until, count=2, by=boss) == ([free], 1)
    assert operations.acknowledge_all(until=until, count=2, by=boss) == ([held], 0)


def test_more_than_were_counted_are_not_acknowledged(boss: User) -> None:
    for _ in range(2):
        new_run(State.FAILED)
    with pytest.raises(Refused, match="There are now 2, not 1"):
        operations.acknowledge_all(until=timezone.now() + timedelta(days=1), count=1, by=boss)
    assert TaskRun.objects.unacknowledged().count() == 2


def test_slots_of_a_pause_are_not_caught_up(nightly: Schedule, alice: User) -> None:
    long_ago = nightly.effective_since - timedelta(days=3)
    Schedule.objects.update(effective_since=long_ago)
    assert pause(nightly, by=alice, note="A move")
    assert not pause(nightly, by=alice, note="Another")
    assert Schedule.objects.get().pause_note == "A move"
    assert not Schedule.objects.get().enabled
    assert resume(nightly)
    assert not resume(nightly)
    assert Schedule.objects.get().effective_since > long_ago + timedelta(days=2)


# Permissions.


class Outsider(AbstractBaseUser):
    """A user model without Django's own permissions, as the admin allows."""

    class Meta:
        app_label = "elsewhere"

    def has_perm(self, permission: str) -> bool:
        return permission == "tasks.view_taskrun"


def test_user_model_without_djangos_permissions_answers_for_itself() -> None:
    assert may(Outsider(), "tasks.view_taskrun")
    assert not may(Outsider(), "tasks.stop_taskrun")
    assert not may(AnonymousUser(), "tasks.view_taskrun")


@pytest.mark.parametrize("who", ["99", "x", "-1", "9" * 40, "ec6b0160-0000-4000-8000-000000000000"])
def test_name_of_nobody_is_not_added_to_a_reason(who: str) -> None:
    assert with_name(f"Stopped by user {who}.") == f"Stopped by user {who}."
