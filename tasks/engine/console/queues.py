"""The console's queues: pause one, with a note, and resume it."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.views.decorators.http import require_http_methods, require_POST

from tasks.engine.broker.queues import QueueStatus
from tasks.engine.console.requests import for_operators, log, operator, page_before, show_refusal
from tasks.engine.models.queue import MAX_NOTE_CHARACTERS
from tasks.engine.monitoring.pauses import PausedQueue
from tasks.engine.monitoring.status import Status
from tasks.engine.operations import queues
from tasks.engine.operations.errors import Refused


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
    note, fault = request.POST.get("note", ""), ""
    if request.method == "POST":
        try:
            with transaction.atomic():
                queue = queues.pause(name, note=note, by=operator(request))
                log(request, [queue], CHANGE, f"Paused: {queue.note}")
        except Refused as error:
            fault = str(error)
        else:
            messages.success(request, f"The queue {name} is paused.")
            return redirect("background:overview")
    context = {
        **admin.site.each_context(request),
        "title": f"Pause the queue {name}",
        "name": name,
        "note": note,
        "fault": fault,
        "max_length": MAX_NOTE_CHARACTERS,
    }
    return TemplateResponse(request, "tasks/console/pause_queue.html", context)


@require_POST
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
