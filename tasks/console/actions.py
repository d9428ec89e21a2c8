"""What operators do on the console: each action a POST with its own permission, and logged."""

from collections.abc import Callable, Iterator, Sequence

from django.contrib import messages
from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST
from redis.exceptions import RedisError

from accounts import staff
from accounts.staff import StaffRequest
from tasks import deadletters, operations
from tasks.console.views import for_staff, queue_names
from tasks.deadletters import DeadLetter
from tasks.models import Schedule, TaskRun
from tasks.operations import Refused


@require_POST
@for_staff("tasks.start_taskrun")
def run_now(request: StaffRequest, pk: int) -> HttpResponse:
    """Start what a schedule starts, now."""
    schedule = get_object_or_404(Schedule, pk=pk)
    return started(request, lambda: operations.run_now(schedule, by=request.user), "Run now.")


@require_POST
@for_staff("tasks.start_taskrun")
def run_again(request: StaffRequest, pk: int) -> HttpResponse:
    """Start a run with the arguments of another."""
    run = get_object_or_404(TaskRun, pk=pk)
    how = f"Run {pk} again."
    return started(request, lambda: operations.run_again(run, by=request.user), how)


@require_POST
@for_staff("tasks.undo_taskrun")
def undo(request: StaffRequest, pk: int) -> HttpResponse:
    """Bring back what a cleanup took."""
    run = get_object_or_404(TaskRun, pk=pk)
    return started(request, lambda: operations.undo(run, by=request.user), f"Undo run {pk}.")


@require_POST
@for_staff("tasks.cancel_taskrun")
def cancel(request: StaffRequest, pk: int) -> HttpResponse:
    """Have a run that has not started never start."""
    run = get_object_or_404(TaskRun, pk=pk)
    try:
        operations.cancel(run, by=request.user)
    except Refused as error:
        messages.error(request, str(error))
    else:
        log(request, run, CHANGE, "Cancelled.")
        messages.success(request, f"Run {pk} is cancelled.")
    return redirect("admin:tasks_taskrun_change", pk)


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
    already = refused = 0
    try:
        for letters in chosen(request):
            outcome = deadletters.retry(letters, by=request.user)
            runs += outcome.retried
            already += outcome.already
            refused += outcome.refused
    except RedisError as error:
        messages.error(request, f"The broker cannot be asked: {error}")
    staff.log(request.user, runs, len(runs), ADDITION, "Retry of a dead letter.")
    tell(request, len(runs), "retried", ok=True)
    tell(request, already, "had been retried before, and were deleted", ok=True)
    tell(request, refused, "kept: this version of the code does not know their actor", ok=False)
    return redirect("background:dead-letters")


@require_POST
@for_staff("tasks.discard_deadletter")
def discard(request: StaffRequest) -> HttpResponse:
    """Delete dead letters."""
    discarded = 0
    try:
        for letters in chosen(request):
            discarded += deadletters.discard(letters)
            log_discarded(request, letters)
    except RedisError as error:
        messages.error(request, f"The broker cannot be asked: {error}")
    tell(request, discarded, "discarded", ok=True)
    return redirect("background:dead-letters")


def started(request: StaffRequest, start: Callable[[], TaskRun], how: str) -> HttpResponse:
    """Start a run and show its page; or say why not, where the request came from."""
    try:
        run = start()
    except Refused as error:
        messages.error(request, str(error))
        return redirect(back(request))
    log(request, run, ADDITION, how)
    messages.success(request, f"Run {run.pk} of {run.task} is on its way.")
    return redirect("admin:tasks_taskrun_change", run.pk)


def switched(request: StaffRequest, pk: int, *, on: bool) -> HttpResponse:
    """Pause a schedule or resume it, and go back to where the request came from."""
    schedule = get_object_or_404(Schedule, pk=pk)
    state = "resumed" if on else "paused"
    if operations.switch(schedule, on=on):
        log(request, schedule, CHANGE, f"{state.capitalize()}.")
        messages.success(request, f"The schedule of {schedule.task} is {state}.")
    else:
        messages.info(request, f"The schedule of {schedule.task} was {state} already.")
    return redirect(back(request))


def back(request: HttpRequest) -> str:
    """Return the page of this site that a request came from; or else the console's."""
    page = request.POST.get("back", "")
    if url_has_allowed_host_and_scheme(
        page, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    ):
        return page
    return reverse("background:overview")


def chosen(request: HttpRequest) -> Iterator[Sequence[DeadLetter]]:
    """Yield the dead letters that a request is about: those that are ticked, or all that match."""
    if request.POST.get("all"):
        yield from deadletters.all_of(queue_names(), actor=request.POST.get("actor", ""))
        return
    ticked = [value.partition(" ") for value in request.POST.getlist("letter")]
    yield deadletters.find([(queue, letter) for queue, _, letter in ticked])


def tell(request: HttpRequest, number: int, what: str, *, ok: bool) -> None:
    """Say what became of so many dead letters, if there are any."""
    if number:
        letters = "1 dead letter" if number == 1 else f"{number:,} dead letters"
        say = messages.success if ok else messages.warning
        say(request, f"{letters} {what}.")


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
