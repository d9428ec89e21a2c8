"""What operators do with many runs at once: a question first, then a run that does it."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from django.contrib import messages
from django.contrib.admin.models import ADDITION
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import redirect

from tasks.engine.console.requests import (
    Question,
    ask,
    for_operators,
    for_posts,
    is_confirmed,
    log,
    may_view_details,
    operator,
    page_before,
    posted_moment,
    posted_number,
    refusal,
    show_refusal,
)
from tasks.engine.console.run_form import PAGES, RunListForm
from tasks.engine.extension import extension_of
from tasks.engine.models import TaskRun
from tasks.engine.operations import bulk as operations
from tasks.engine.operations.bulk import Verb
from tasks.engine.operations.errors import Refused
from tasks.engine.operations.permissions import may, may_start
from tasks.engine.operations.run_filter import MAX_ID, RunFilter
from tasks.engine.operations.run_search import MOST_COUNTED, bounds, search
from tasks.engine.operations.runs import message_of
from tasks.engine.operations.selection import MAX_TICKED, Selection, bound_now
from tasks.engine.words import count

#: How long runs are counted before the question.
COUNT_SECONDS = 2.0

#: Of the latest runs, so many are asked whether their task wants a confirmation; so many are shown.
MOST_ASKED = 200
MAX_CONFIRMATIONS = 10

#: What a question says would be done.
MEANING = {
    Verb.RETRY: "Each would be started again with its arguments, as a new run. What failed among"
    " them would be acknowledged.",
    Verb.CANCEL: "Those that wait would be cancelled. Those at work would be asked to stop: they"
    " end at their next step.",
    Verb.ACKNOWLEDGE: "They would be acknowledged, and no longer be named as problems.",
}
#: What the verb is for, if nothing of it was selected.
NOTHING = {
    Verb.RETRY: "None of these runs has ended: there is nothing to retry.",
    Verb.CANCEL: "All of these runs have ended: there is nothing to cancel.",
    Verb.ACKNOWLEDGE: "None of these runs has a failure or errors to acknowledge.",
}


@dataclass
class Preview:
    """What a bulk operation would be for.

    Attributes:
        count: how many runs, in words.
        tasks: how many of each task, among the latest of them.
        is_whole: these are all of them.
        confirmations: what the tasks of a retry want confirmed, in words.
        confirmed: those tasks.
    """

    count: str = ""
    tasks: Counter[str] = field(default_factory=Counter)
    is_whole: bool = True
    confirmations: list[str] = field(default_factory=list)
    confirmed: set[str] = field(default_factory=set)


@for_posts("admin:tasks_taskrun_changelist")
@for_operators()
def bulk(request: HttpRequest, verb: str) -> HttpResponse:
    """Ask about a bulk operation; once that is confirmed, start it and show its run."""
    if verb not in Verb:
        raise Http404
    asked = Verb(verb)
    if asked not in operations.verbs_for(request.user):
        raise PermissionDenied
    try:
        selection = posted_selection(request)
        if not is_confirmed(request):
            return ask(request, question(request, asked, selection))
        with transaction.atomic():
            confirmed = request.POST.getlist("task_confirmed")
            run = operations.start(asked, selection, by=operator(request), confirmed=confirmed)
            log(request, [run], ADDITION, f"{asked.capitalize()} runs.")
    except Refused as error:
        show_refusal(request, error)
        return HttpResponseRedirect(page_before(request))
    messages.success(request, f"Run {run.pk} does this. It can be stopped; what is done, is done.")
    return redirect("admin:tasks_taskrun_change", run.pk)


def posted_selection(request: HttpRequest) -> Selection:
    """Return which runs a form means; Refused if none."""
    highest, now = bound_now()
    if is_confirmed(request):
        up_to, until = posted_number(request, "up_to"), posted_moment(request, "asked_at")
        if up_to is None or until is None:
            raise Refused("The question is incomplete. Ask again.")
        highest, now = min(up_to, highest), min(until, now)
    if request.POST.get("all"):
        matching = posted_filter(request)
        return Selection(matching=matching, up_to=max(0, highest), until=now)
    given = {pk for pk in request.POST.getlist("run") if pk.isdecimal()}
    if not given:
        raise Refused("No run is ticked. Tick some, or all that match.")
    # Python refuses to read a number of some thousand digits.
    ticked = sorted(int(pk) for pk in given if len(pk) <= len(str(MAX_ID)))
    if len(ticked) < len(given) or len(ticked) > MAX_TICKED or ticked[-1] > highest:
        raise Refused("These are no runs of the list. Reload the page.")
    return Selection(ticked=tuple(ticked), up_to=max(0, highest), until=now)


def posted_filter(request: HttpRequest) -> RunFilter:
    """Return the filter that a form has in its fields; Refused if it is none."""
    given = QueryDict(mutable=True)
    for name in set(RunListForm.base_fields) - set(PAGES):
        if value := request.POST.get(name):
            given[name] = value
    form = RunListForm(given, with_details=may_view_details(request))
    if not form.is_valid():
        raise Refused("What the runs should be like is not clear. Reload the page.")
    return form.wanted


def question(request: HttpRequest, verb: Verb, selection: Selection) -> Question:
    """Return what to ask before a bulk operation: how many runs, of which tasks, and what for."""
    preview = look_at(request, verb, selection)
    back = page_before(request)
    title = f"{verb.capitalize()} runs"
    if not preview.tasks:
        lines: tuple[str, ...] = (NOTHING[verb],)
        return Question(title=title, lines=lines, yes="", action=request.path, no=back)
    of_tasks = ", ".join(f"{number:,} of {task}" for task, number in preview.tasks.most_common())
    part = "" if preview.is_whole else "Among the latest: "
    lines = (
        f"{preview.count}, created until now. {part}{of_tasks}.",
        MEANING[verb],
        *limits(request, verb, preview),
        *preview.confirmations,
    )
    return Question(
        title=title,
        lines=lines,
        yes=f"Yes, {verb} {'them' if not preview.is_whole else preview.count}",
        action=request.path,
        no=back,
        fields=(*selection_fields(selection), *confirmed_fields(preview), ("back", back)),
    )


def look_at(request: HttpRequest, verb: Verb, selection: Selection) -> Preview:
    """Count the runs that an operation would be for, and see whether their tasks have questions."""
    low, high = bounds(selection.matching)
    found = search(
        operations.eligible(verb, selection),
        low=low,
        high=min(high, selection.up_to),
        most=MOST_COUNTED + 1,
        seconds=COUNT_SECONDS,
    )
    number = len(found.ids)
    tasks = Counter(
        TaskRun.objects.filter(pk__in=found.ids[:MOST_COUNTED]).values_list("task", flat=True)
    )
    is_whole = number <= MOST_COUNTED and found.looked_at is None
    if number > MOST_COUNTED:
        text = f"More than {MOST_COUNTED:,} runs"
    else:
        text = count(number, "run") if is_whole else f"At least {count(number, 'run')}"
    preview = Preview(count=text, tasks=tasks, is_whole=is_whole)
    if verb is Verb.RETRY:
        runs = TaskRun.objects.filter(pk__in=found.ids[:MOST_ASKED]).order_by("-pk")
        add_confirmations(request, preview, runs.only("task", "arguments"))
    return preview


def add_confirmations(request: HttpRequest, preview: Preview, runs: Iterable[TaskRun]) -> None:
    """Ask the extensions of runs' tasks for their questions, once for each task and arguments."""
    asked = set()
    for run in runs:
        key = f"{run.task} {run.arguments}"
        if key in asked or len(preview.confirmations) == MAX_CONFIRMATIONS:
            continue
        asked.add(key)
        if not may_start(request.user, run.task):
            continue
        try:
            wanted = extension_of(run.task).confirmation(message_of(run.task, run.arguments))
        except Refused as error:
            preview.confirmations.append(f"{run.task}: {refusal(request, error)}")
            continue
        if wanted:
            preview.confirmed.add(run.task)
            preview.confirmations.append(f"{run.task}: {' '.join(wanted.lines)}")


def limits(request: HttpRequest, verb: Verb, preview: Preview) -> list[str]:
    """Say in lines which runs would be left as they are, as the operator may not act on them."""
    if verb is Verb.RETRY:
        tasks = [task for task in sorted(preview.tasks) if not may_start(request.user, task)]
        return [f"You may not start {task}: its runs would be left as they are." for task in tasks]
    if verb is Verb.CANCEL and not may(request.user, operations.STOP):
        return ["You may not stop runs at work: those would be left as they are."]
    return []


def selection_fields(selection: Selection) -> list[tuple[str, str]]:
    """Return the fields of a form that posts a selection."""
    if selection.ticked:
        fields = [("run", str(pk)) for pk in selection.ticked]
    else:
        matching = selection.matching.as_json()
        fields = [("all", "1"), *((name, str(value)) for name, value in matching.items())]
    return [*fields, ("up_to", str(selection.up_to)), ("asked_at", selection.until.isoformat())]


def confirmed_fields(preview: Preview) -> list[tuple[str, str]]:
    return [("task_confirmed", task) for task in sorted(preview.confirmed)]
