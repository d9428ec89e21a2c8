"""The console's queues: pause one, with a note, and resume it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from django.contrib import messages
from django.contrib.admin.models import CHANGE
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from tasks.engine.broker.queues import QueueStatus
from tasks.engine.console.requests import (
    WHY,
    Question,
    ask,
    for_operators,
    for_posts,
    log,
    operator,
    page_before,
    show_refusal,
)
from tasks.engine.monitoring.pauses import PausedQueue
from tasks.engine.monitoring.status import Status
from tasks.engine.operations import queues
from tasks.engine.operations.errors import Refused

WHAT_A_PAUSE_DOES = (
    "Workers finish what is running, and begin nothing of this queue until it is resumed. What is"
    " asked for meanwhile waits, and nothing is lost."
)


@dataclass(frozen=True)
class QueueRow:
    """A queue, what the broker has in it if that could be asked, and its pause if it is paused."""

    name: str
    messages: QueueStatus | None
    pause: PausedQueue | None


def queue_rows(status: Status) -> Sequence[QueueRow]:
    """Return the rows of the table of queues, whether or not the broker could be asked."""
    counted = {queue.name: queue for queue in status.queues}
    paused = {queue.name: queue for queue in status.pauses.paused}
    return [QueueRow(name, counted.get(name), paused.get(name)) for name in status.queue_names]


@require_http_methods(["GET", "HEAD", "POST"])
@for_operators("tasks.pause_queue")
def pause(request: HttpRequest) -> HttpResponse:
    """Ask why the queue that the address names is to be paused, and pause it."""
    name = request.GET.get("queue", "")
    if name not in queues.queue_names():
        raise Http404
    question = Question(
        title=f"Pause the queue {name}",
        lines=(WHAT_A_PAUSE_DOES,),
        note=WHY,
        yes="Pause",
        action=request.get_full_path(),
        no=reverse("background:overview"),
    )
    if request.method != "POST":
        return ask(request, question)
    note = request.POST.get("note", "")
    try:
        with transaction.atomic():
            queue = queues.pause(name, note=note, by=operator(request))
            log(request, [queue], CHANGE, f"Paused: {queue.note}")
    except Refused as error:
        return ask(request, replace(question, given=note, fault=str(error)))
    messages.success(request, f"The queue {name} is paused.")
    return redirect("background:overview")


@for_posts()
@for_operators("tasks.pause_queue")
def resume(request: HttpRequest) -> HttpResponse:
    """Let workers take again from the queue that the address names."""
    name = request.GET.get("queue", "")
    try:
        with transaction.atomic():
            log(request, [queues.resume(name)], CHANGE, "Resumed.")
    except Refused as error:
        show_refusal(request, error)
    else:
        messages.success(request, f"The queue {name} is resumed.")
    return HttpResponseRedirect(page_before(request))
