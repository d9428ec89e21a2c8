"""What operators do on the console: each action a POST with its own permission, and logged."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import batched
from typing import Any

from django.contrib import messages
from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.timezone import is_aware
from django.views.decorators.http import require_POST
from redis.exceptions import RedisError

from accounts.staff.log import log_selection
from accounts.staff.rights import StaffRequest
from tasks.engine.broker import dead_letters as deadletters
from tasks.engine.broker.dead_letters import DeadLetter
from tasks.engine.broker.keys import IDS_PER_EXCHANGE
from tasks.engine.console.views import (
    Question,
    ask,
    for_staff,
    may_see_todos,
    queue_names,
    todos,
    withheld,
)
from tasks.engine.models import Schedule, State, TaskRun
from tasks.engine.operations import runs as operations
from tasks.engine.operations.dead_letters import retry as retry_dead_letters
from tasks.engine.operations.runs import Refused, Unconfirmed
from tasks.engine.runs.enqueue import arguments
from tasks.names import TaskName

#: What it means to do something with a dead letter.
MEANING = {"retry": "sent again", "discard": "deleted for good"}


@require_POST
@for_staff()
def run_now(request: StaffRequest, pk: int) -> HttpResponse:
    """Start what a schedule starts, now."""
    schedule = get_object_or_404(Schedule, pk=pk)
    start = partial(operations.run_now, schedule, by=request.user, confirmed=confirmed(request))
    return started(request, start, "Run now.")


@require_POST
@for_staff()
def run_again(request: StaffRequest, pk: int) -> HttpResponse:
    """Start a run with the arguments of another."""
    run = get_object_or_404(TaskRun, pk=pk)
    start = partial(operations.run_again, run, by=request.user, confirmed=confirmed(request))
    return started(request, start, f"Run {pk} again.")


@require_POST
@for_staff()
def undo(request: StaffRequest, pk: int) -> HttpResponse:
    """Bring back what a cleanup took."""
    run = get_object_or_404(TaskRun, pk=pk)
    return started(request, lambda: operations.undo(run, by=request.user), f"Undo run {pk}.")


@require_POST
@for_staff("tasks.cancel_taskrun")
def cancel(request: StaffRequest, pk: int) -> HttpResponse:
    """Have a run that has not started never start."""
    run = get_object_or_404(TaskRun, pk=pk)

    def act() -> str:
        operations.cancel(run, by=request.user)
        return "is cancelled."

    changed(request, run, act, "Cancelled.")
    return redirect("admin:tasks_taskrun_change", pk)


@require_POST
@for_staff("tasks.stop_taskrun")
def stop(request: StaffRequest, pk: int) -> HttpResponse:
    """End a run: at once if it waits, at its next step if it is at work."""
    run = get_object_or_404(TaskRun, pk=pk)

    def act() -> str:
        if not operations.stop(run, by=request.user):
            raise Refused(f"Run {pk} had been asked to stop before: it ends at its next step.")
        is_cancelled = run.state == State.CANCELLED
        return "is cancelled." if is_cancelled else "was asked to stop: it ends at its next step."

    changed(request, run, act, "Stopped.")
    return HttpResponseRedirect(back(request))


@require_POST
@for_staff("tasks.acknowledge_taskrun")
def acknowledge(request: StaffRequest, pk: int) -> HttpResponse:
    """Note that an operator knows of a run's failure or errors."""
    run = get_object_or_404(TaskRun, pk=pk)

    def act() -> str:
        operations.acknowledge(run, by=request.user)
        return "is acknowledged."

    changed(request, run, act, "Acknowledged.")
    return HttpResponseRedirect(back(request))


@require_POST
@for_staff("tasks.acknowledge_taskrun")
def acknowledge_all(request: StaffRequest) -> HttpResponse:
    """Note that an operator knows of all failures up to the newest that they were shown."""
    until, count = moment(request, "until"), number(request, "count")
    try:
        if until is None or count is None:
            raise Refused("Press the button of the list that you have read.")  # noqa: TRY301
        with transaction.atomic():
            runs, left = operations.acknowledge_all(until=until, count=count, by=request.user)
            log_selection(request.user, runs, len(runs), CHANGE, "Acknowledged.")
    except Refused as error:
        refuse(request, error)
    else:
        if runs:
            messages.success(request, f"{count_runs(len(runs))} acknowledged.")
        if left:
            text = "not: another transaction holds a lock there. Try again in a moment."
            messages.warning(request, f"{count_runs(left)} {text}")
        if not runs and not left:
            messages.info(request, "All of them had been acknowledged before.")
    return HttpResponseRedirect(back(request))


def count_runs(number: int) -> str:
    """Say that so many runs are what follows."""
    return "1 run is" if number == 1 else f"{number:,} runs are"


@require_POST
@for_staff("tasks.change_schedule")
def pause(request: StaffRequest, pk: int) -> HttpResponse:
    """Have a schedule start nothing for now."""
    return switched(request, pk, on=False)


@require_POST
@for_staff("tasks.change_schedule")
def resume(request: StaffRequest, pk: int) -> HttpResponse:
    """Have a schedule start its task again."""
    return switched(request, pk, on=True)


@require_POST
@for_staff("tasks.retry_deadletter")
def retry(request: StaffRequest) -> HttpResponse:
    """Send dead letters again."""
    runs: list[TaskRun] = []
    already = refused = forbidden = 0

    def retry_these(letters: Sequence[DeadLetter]) -> None:
        nonlocal already, refused, forbidden
        outcome = retry_dead_letters(letters, by=request.user)
        runs.extend(outcome.retried)
        already += outcome.already
        refused += outcome.refused
        forbidden += outcome.forbidden

    question = with_chosen(request, "retry", retry_these)
    if question:
        return ask(request, question)
    log_selection(request.user, runs, len(runs), ADDITION, "Retry of a dead letter.")
    tell(request, len(runs), "retried", ok=True)
    tell(request, already, "had been retried before, and were deleted", ok=True)
    tell(request, refused, "kept: this version of the code does not know their actor", ok=False)
    tell(request, forbidden, "kept: you may not start their task", ok=False)
    return redirect("background:dead-letters")


@require_POST
@for_staff("tasks.discard_deadletter")
def discard(request: StaffRequest) -> HttpResponse:
    """Delete dead letters."""
    discarded = 0

    def discard_these(letters: Sequence[DeadLetter]) -> None:
        nonlocal discarded
        gone = deadletters.discard(letters)
        discarded += len(gone)
        log_discarded(request, gone)

    question = with_chosen(request, "discard", discard_these)
    if question:
        return ask(request, question)
    tell(request, discarded, "discarded", ok=True)
    return redirect("background:dead-letters")


def changed(request: StaffRequest, run: TaskRun, act: Callable[[], str], how: str) -> None:
    """Change a run, log it and say what became of it; or say why not."""
    try:
        with transaction.atomic():
            became = act()
            log(request, run, CHANGE, how)
    except Refused as error:
        refuse(request, error)
    else:
        messages.success(request, f"Run {run.pk} {became}")


def started(request: StaffRequest, start: Callable[[], TaskRun], how: str) -> HttpResponse:
    """Start a run and show its page; or ask first; or say why not, where the request came from."""
    try:
        with transaction.atomic():
            run = start()
            log(request, run, ADDITION, how)
    except Unconfirmed as error:
        return ask(request, purge_question(request, error.todos))
    except Refused as error:
        refuse(request, error)
        return HttpResponseRedirect(back(request))
    messages.success(request, f"Run {run.pk} of {run.task} is on its way.")
    return redirect("admin:tasks_taskrun_change", run.pk)


def purge_question(request: HttpRequest, number: int) -> Question:
    """Return what to ask before a purge is started."""
    return Question(
        title="Purge the trash",
        lines=(f"{todos(number)} would be deleted for good.", "Nothing brings them back."),
        yes=f"Yes, delete {todos(number)} for good",
        action=request.path,
        fields=(("back", back(request)),),
        no=back(request),
    )


def switched(request: StaffRequest, pk: int, *, on: bool) -> HttpResponse:
    """Pause a schedule or resume it, and go back to where the request came from."""
    schedule = get_object_or_404(Schedule, pk=pk)
    state = "resumed" if on else "paused"
    with transaction.atomic():
        was_otherwise = operations.switch(schedule, on=on)
        if was_otherwise:
            log(request, schedule, CHANGE, f"{state.capitalize()}.")
    if was_otherwise:
        messages.success(request, f"The schedule of {schedule.task} is {state}.")
    else:
        messages.info(request, f"The schedule of {schedule.task} was {state} already.")
    return HttpResponseRedirect(back(request))


def refuse(request: StaffRequest, error: Refused) -> None:
    """Say why something was not done, with a link to the run that stands in the way."""
    detail = withheld(error.detail, unless=may_see_todos(request))
    text = f"{error.text}: {detail}" if detail else error.text
    if error.run_id is not None:
        run = reverse("admin:tasks_taskrun_change", args=[error.run_id])
        text = format_html('{} <a href="{}">See run {}</a>', text, run, error.run_id)
    messages.error(request, text)


def confirmed(request: HttpRequest) -> bool:
    """Say whether who asks was told what it means, and said yes."""
    return bool(request.POST.get("confirmed"))


def moment(request: HttpRequest, name: str) -> datetime | None:
    """Return a moment that a form posted; None if it is none."""
    try:
        given = datetime.fromisoformat(request.POST.get(name, ""))
        return given.astimezone(UTC) if is_aware(given) else None
    except (ValueError, OverflowError):
        return None


def number(request: HttpRequest, name: str) -> int | None:
    """Return a number that a form posted; None if it is none."""
    try:
        return int(request.POST.get(name, ""))
    except ValueError:
        return None


def back(request: HttpRequest) -> str:
    """Return the page of this site that a request came from; or else the console's."""
    page = request.POST.get("back", "")
    if url_has_allowed_host_and_scheme(
        page, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    ):
        return page
    return reverse("background:overview")


type Key = tuple[str, str]


@dataclass
class Choice:
    """The dead letters that a request is about.

    Attributes:
        keys: their queues and ids.
        until: when the latest of them was given up; None if there are none.
        purges: the arguments of purges among them.
    """

    keys: list[Key] = field(default_factory=list)
    until: datetime | None = None
    purges: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def add(self, letter: DeadLetter) -> None:
        """Take one in."""
        self.keys.append((letter.queue, letter.id))
        self.until = max(self.until or letter.died_at, letter.died_at)
        if letter.message and letter.actor == TaskName.TODO_PURGE:
            self.purges[letter.arguments] = arguments(letter.message)

    def todos_to_purge(self) -> int:
        """Count the todos that these would delete for good, if they were retried."""
        total = 0
        for given in self.purges.values():
            with suppress(Refused):
                total += operations.todos_to_purge(TaskName.TODO_PURGE, given) or 0
        return total


def with_chosen(
    request: HttpRequest, verb: str, act: Callable[[Sequence[DeadLetter]], None]
) -> Question | None:
    """Do something with the dead letters that a request is about, in batches.

    Args:
        request: names those that are ticked, or all that match.
        verb: what is to be done, for people: `retry` or `discard`.
        act: does it.

    Returns:
        What to ask first, if nobody has said yes to it yet: then nothing was done. Of all that
        match, those that came in after the question are left alone.
    """
    try:
        choice = chosen(request)
        question = question_about(request, choice, verb)
        if question is None:
            for keys in batched(choice.keys, IDS_PER_EXCHANGE):
                act(deadletters.find(keys))
    except RedisError as error:
        messages.error(request, f"The broker cannot be asked: {error}")
        return None
    return question


def chosen(request: HttpRequest) -> Choice:
    """Return the dead letters that are ticked, or all that match, up to when they were counted."""
    choice = Choice()
    queues = queue_names()
    if request.POST.get("all"):
        actor = request.POST.get("actor", "")
        until = moment(request, "until") if confirmed(request) else None
        batches = deadletters.all_of(queues, actor=actor, until=until)
    else:
        ticked = [value.partition(" ") for value in request.POST.getlist("letter")]
        known = [(queue, letter) for queue, _, letter in ticked if queue in queues]
        batches = iter([deadletters.find(known)])
    for letters in batches:
        for letter in letters:
            choice.add(letter)
    return choice


def question_about(request: HttpRequest, choice: Choice, verb: str) -> Question | None:
    """Return what is to be asked before these letters are dealt with; None if that is settled."""
    whole = bool(request.POST.get("all"))
    purging = verb == "retry" and bool(choice.purges)
    settled = confirmed(request)
    if whole:
        # A clock that is slow may have put a letter among those that were counted.
        until, counted = moment(request, "until"), number(request, "count")
        settled = settled and until is not None and len(choice.keys) <= (counted or 0)
    if settled or not choice.keys or not (whole or purging):
        return None
    letters = count_letters(len(choice.keys))
    lines = [f"{letters} would be {MEANING[verb]}."]
    if purging:
        purged = todos(choice.todos_to_purge())
        lines.append(f"There are purges among them: up to {purged} would be deleted for good.")
    fields = [("letter", f"{queue} {letter}") for queue, letter in choice.keys]
    if whole:
        fields = [
            ("all", "1"),
            ("actor", request.POST.get("actor", "")),
            ("until", choice.until.isoformat() if choice.until else ""),
            ("count", str(len(choice.keys))),
        ]
    return Question(
        title=f"{verb.capitalize()} dead letters",
        lines=tuple(lines),
        yes=f"Yes, {verb} {letters}",
        action=request.path,
        fields=tuple(fields),
        no=reverse("background:dead-letters"),
    )


def count_letters(number: int) -> str:
    """Say how many dead letters."""
    return "1 dead letter" if number == 1 else f"{number:,} dead letters"


def tell(request: HttpRequest, number: int, what: str, *, ok: bool) -> None:
    """Say what became of so many dead letters, if there are any."""
    if number:
        say = messages.success if ok else messages.warning
        say(request, f"{count_letters(number)} {what}.")


def log(request: StaffRequest, row: Model, action: int, message: str) -> None:
    """Write to the admin's log what was done to a row."""
    LogEntry.objects.log_actions(request.user.pk, [row], action, message, single_object=True)


def log_discarded(request: StaffRequest, letters: Sequence[DeadLetter]) -> None:
    """Write to the admin's log which dead letters were discarded: they have no row of their own."""
    kind = ContentType.objects.get_for_model(TaskRun)
    LogEntry.objects.bulk_create(
        LogEntry(
            user=request.user,
            content_type=kind,
            object_repr=f"dead letter {letter.id} of {letter.actor or 'nobody'}"[:200],
            action_flag=DELETION,
            change_message="Discarded.",
        )
        for letter in letters
    )
