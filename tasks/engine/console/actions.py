"""What operators do with runs: a POST each, with its own permission, and logged."""

from collections.abc import Callable
from functools import partial

from django.contrib import messages
from django.contrib.admin.models import ADDITION, CHANGE
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect

from tasks.engine.console.requests import (
    Question,
    ask,
    for_operators,
    for_posts,
    is_confirmed,
    log,
    operator,
    page_before,
    posted_moment,
    posted_number,
    show_refusal,
)
from tasks.engine.models import Schedule, State, TaskRun
from tasks.engine.operations import runs as operations
from tasks.engine.operations.errors import Refused, Unconfirmed
from tasks.engine.operations.permissions import check_may_start
from tasks.engine.words import count


@for_posts("admin:tasks_schedule_change", "pk")
@for_operators()
def run_now(request: HttpRequest, pk: int) -> HttpResponse:
    schedule = get_object_or_404(Schedule, pk=pk)
    start = partial(operations.run_now, schedule, confirmed=is_confirmed(request))
    return _start(request, start, "Run now.")


@for_posts("admin:tasks_taskrun_change", "pk")
@for_operators()
def run_again(request: HttpRequest, pk: int) -> HttpResponse:
    run = get_object_or_404(TaskRun, pk=pk)
    start = partial(operations.run_again, run, confirmed=is_confirmed(request))
    return _start(request, start, f"Run {pk} again.")


@for_posts("admin:tasks_taskrun_change", "pk")
@for_operators()
def retry_now(request: HttpRequest, pk: int) -> HttpResponse:
    """Have a run that waits for its next try start at once. It takes what starting it takes."""

    def act(run: TaskRun) -> str:
        check_may_start(operator(request), run.task)
        operations.retry_now(run)
        return "is tried again as soon as a worker can."

    return _change(request, pk, act, "Retried now.")


@for_posts("admin:tasks_taskrun_change", "pk")
@for_operators()
def undo(request: HttpRequest, pk: int) -> HttpResponse:
    run = get_object_or_404(TaskRun, pk=pk)
    return _start(request, partial(operations.undo, run), f"Undo run {pk}.")


@for_posts("admin:tasks_taskrun_change", "pk")
@for_operators("tasks.cancel_taskrun")
def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    """Cancel a run that has not started."""

    def act(run: TaskRun) -> str:
        operations.cancel(run, by=operator(request))
        return "is cancelled."

    _change(request, pk, act, "Cancelled.")
    return redirect("admin:tasks_taskrun_change", pk)


@for_posts("admin:tasks_taskrun_change", "pk")
@for_operators("tasks.stop_taskrun")
def stop(request: HttpRequest, pk: int) -> HttpResponse:
    """End a run: at once if it waits, after its current step if it is running."""

    def act(run: TaskRun) -> str:
        if not operations.stop(run, by=operator(request)):
            raise Refused(f"Run {pk} was already asked to stop: it ends at its next step.")
        is_cancelled = run.state == State.CANCELLED
        return "is cancelled." if is_cancelled else "was asked to stop: it ends at its next step."

    return _change(request, pk, act, "Stopped.")


@for_posts("admin:tasks_taskrun_change", "pk")
@for_operators("tasks.acknowledge_taskrun")
def acknowledge(request: HttpRequest, pk: int) -> HttpResponse:
    def act(run: TaskRun) -> str:
        operations.acknowledge(run, by=operator(request))
        return "is acknowledged."

    return _change(request, pk, act, "Acknowledged.")


@for_posts()
@for_operators("tasks.acknowledge_taskrun")
def acknowledge_all(request: HttpRequest) -> HttpResponse:
    """Note that an operator knows of all failures that they were shown."""
    until, shown = posted_moment(request, "until"), posted_number(request, "count")
    try:
        if until is None or shown is None:
            raise Refused("The list to acknowledge is missing. Reload the page.")  # noqa: TRY301
        with transaction.atomic():
            runs, left = operations.acknowledge_all(until=until, count=shown, by=operator(request))
            log(request, runs, CHANGE, "Acknowledged.")
    except Refused as error:
        show_refusal(request, error)
    else:
        if runs:
            messages.success(request, f"{count(len(runs), 'run is', 'runs are')} acknowledged.")
        if left:
            text = "locked by another transaction, and not acknowledged. Try again in a moment."
            messages.warning(request, f"{count(left, 'run is', 'runs are')} {text}")
        if not runs and not left:
            messages.info(request, "All of them were acknowledged before.")
    return HttpResponseRedirect(page_before(request))


def _change(
    request: HttpRequest, pk: int, act: Callable[[TaskRun], str], message: str
) -> HttpResponse:
    """Change a run, log it, say what `act` returns of it, and return to the page before."""
    run = get_object_or_404(TaskRun, pk=pk)
    try:
        with transaction.atomic():
            outcome = act(run)
            log(request, [run], CHANGE, message)
    except Refused as error:
        show_refusal(request, error)
    else:
        messages.success(request, f"Run {run.pk} {outcome}")
    return HttpResponseRedirect(page_before(request))


def _start(request: HttpRequest, start: Callable[..., TaskRun], message: str) -> HttpResponse:
    """Start a run and show its page; or ask first; or say why not, on the page before."""
    try:
        with transaction.atomic():
            run = start(by=operator(request))
            log(request, [run], ADDITION, message)
    except Unconfirmed as error:
        asked, back = error.confirmation, page_before(request)
        question = Question(
            title=asked.title,
            lines=asked.lines,
            yes=asked.button,
            action=request.path,
            fields=(("back", back),),
            no=back,
        )
        return ask(request, question)
    except Refused as error:
        show_refusal(request, error)
        return HttpResponseRedirect(page_before(request))
    messages.success(request, f"Run {run.pk} of {run.task} is queued.")
    return redirect("admin:tasks_taskrun_change", run.pk)
