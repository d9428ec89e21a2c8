"""The console's processes: what each worker has in hand, and how one is asked to leave."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.contrib import messages
from django.contrib.admin.models import CHANGE
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404

from tasks.engine.console.requests import (
    Question,
    ask,
    for_operators,
    for_posts,
    is_confirmed,
    log,
    operator,
    page_before,
    show_refusal,
)
from tasks.engine.models import Process, ProcessKind, State, TaskRun
from tasks.engine.operations import processes
from tasks.engine.operations.errors import Refused
from tasks.engine.words import count

LEAVING = (
    "They take nothing more, finish what they have in hand, and end. What they have fetched and not"
    " begun goes back to its queue, for other workers, and so does the rest of a run in steps."
)

#: Runs in hand that are linked, the oldest ones; the others are counted.
MAX_LINKED = 5


@dataclass(frozen=True)
class ProcessRow:
    """A live process, and the runs that it has in hand."""

    process: Process
    runs: Sequence[int]

    @property
    def linked(self) -> Sequence[int]:
        return self.runs[:MAX_LINKED]

    @property
    def more(self) -> int:
        return len(self.runs) - len(self.linked)

    @property
    def state(self) -> str:
        """What became of a request to leave; empty if there is none."""
        if self.process.leaving_since:
            return f"finishing: {count(len(self.runs), 'run')} in hand"
        if self.process.leave_requested_at:
            return "was asked to leave, and has not taken note yet"
        if self.process.kind == ProcessKind.WORKER and self.process.command_pid is None:
            return "of an earlier version: heeds no pause, and cannot be asked to leave"
        return ""


def process_rows(alive: Iterable[Process], runs: Iterable[TaskRun]) -> tuple[ProcessRow, ...]:
    """Return the rows of the table of processes; `runs` are all that they may be working on."""
    held: dict[UUID | None, list[int]] = defaultdict(list)
    for run in runs:
        if run.state == State.RUNNING:
            held[run.held_by].append(run.pk)
    return tuple(ProcessRow(process, sorted(held[process.pk])) for process in alive)


@for_posts()
@for_operators("tasks.stop_process")
def leave(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Ask a worker, and those of the same command, to finish and leave; ask back first."""
    process = get_object_or_404(Process.objects.alive(), pk=pk)
    if not is_confirmed(request):
        return ask(request, question(request, process))
    try:
        with transaction.atomic():
            asked = processes.request_leave(process, by=operator(request))
            log(request, asked, CHANGE, "Asked to finish and leave.")
    except Refused as error:
        show_refusal(request, error)
    else:
        number = count(len(asked), "process is", "processes are")
        messages.success(request, f"{number} asked to finish and leave.")
    return HttpResponseRedirect(page_before(request))


def question(request: HttpRequest, process: Process) -> Question:
    together = Process.objects.workers_of_command(process)
    everyone = list(together.order_by("pid"))
    rows = process_rows(
        everyone,
        TaskRun.objects.filter(state=State.RUNNING, held_by__in=[one.pk for one in everyone]),
    )
    pids = ", ".join(str(row.process.pid) for row in rows)
    processes_of_command = count(len(rows), "process of one command", "processes of one command")
    in_hand = sum(len(row.runs) for row in rows)
    others = Process.objects.alive().exclude(pk__in=[one.pk for one in everyone])
    served = {name for one in others.filter(leave_requested_at=None) for name in one.queues}
    alone = sorted({name for one in everyone for name in one.queues} - served)
    unserved = f"No other worker serves {', '.join(alone)}: nothing of that runs until one does."
    return Question(
        title=f"Finish and leave: worker on {process.host}",
        lines=(
            f"{processes_of_command}: {pids}. In hand now: {count(in_hand, 'run')}.",
            LEAVING,
            *([unserved] if alone else []),
            "Whatever supervises the command starts it again, if it is set up to.",
        ),
        yes="Yes, finish and leave",
        action=request.path,
        fields=(("back", page_before(request)),),
        no=page_before(request),
    )
