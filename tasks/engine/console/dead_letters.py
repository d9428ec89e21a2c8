"""The console's page of dead letters, and what operators do with them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import batched, chain

from django.contrib import admin, messages
from django.contrib.admin.models import ADDITION, DELETION, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe
from dramatiq.broker import get_broker
from redis.exceptions import RedisError

from tasks.engine.broker import dead_letters as deadletters
from tasks.engine.broker.dead_letters import DeadLetter
from tasks.engine.broker.keys import IDS_PER_EXCHANGE
from tasks.engine.console.requests import (
    Question,
    ask,
    for_staff,
    is_confirmed,
    log,
    may_view_details,
    operator,
    posted_moment,
    posted_number,
)
from tasks.engine.models import Process, TaskRun
from tasks.engine.operations import dead_letters as operations
from tasks.engine.operations.permissions import withhold
from tasks.engine.words import count, reason

#: Dead letters on the page, the latest ones.
MAX_LETTERS = 100

#: Characters of an error that are shown: its end, which says the most.
MAX_SHOWN = 2_000

#: Confirmations that a question about dead letters lists; there may be one for each letter.
MAX_CONFIRMATIONS = 10

MEANING = {"retry": "sent again", "discard": "deleted for good"}


def queue_names() -> list[str]:
    """Return the queues that an actor uses, or that a worker has served lately."""
    used = {actor.queue_name for actor in get_broker().actors.values()}
    return sorted(used.union(*Process.objects.values_list("queues", flat=True)))


@require_safe
@for_staff("tasks.view_taskrun")
def dead_letters(request: HttpRequest) -> HttpResponse:
    """Show the messages that Dramatiq gave up on."""
    unread, total, letters = "", 0, []
    queues, actor = queue_names(), request.GET.get("actor", "")
    try:
        total = deadletters.count(queues)
        letters = deadletters.read(queues, limit=MAX_LETTERS)
    except RedisError as error:
        unread = reason(error)
    retried = operations.retried_as(letters)
    see = may_view_details(request)
    rows = [
        {
            "letter": letter,
            "run": retried.get(letter.id),
            "known": operations.can_be_retried(letter),
            "error": withhold(letter.error[-MAX_SHOWN:], unless=see),
            "arguments": withhold(letter.arguments[:MAX_SHOWN], unless=see),
        }
        for letter in letters
        if not actor or letter.actor == actor
    ]
    context = {
        **admin.site.each_context(request),
        "title": "Dead letters",
        "rows": rows,
        "total": total,
        "unread": unread,
        "actor": actor,
        "actors": sorted({letter.actor for letter in letters if letter.actor}),
    }
    return TemplateResponse(request, "tasks/console/dead_letters.html", context)


@require_POST
@for_staff("tasks.retry_deadletter")
def retry(request: HttpRequest) -> HttpResponse:
    """Create runs with the messages of dead letters."""
    outcomes: list[operations.Outcome] = []

    def retry_these(letters: Sequence[DeadLetter]) -> None:
        outcomes.append(operations.retry(letters, by=operator(request)))

    question = _act_on_selection(request, "retry", retry_these)
    if question:
        return ask(request, question)
    runs = [run for outcome in outcomes for run in outcome.retried]
    log(request, runs, ADDITION, "Retry of a dead letter.")
    _tell(request, len(runs), "retried", ok=True)
    already = sum(outcome.already for outcome in outcomes)
    _tell(request, already, "deleted: already retried before", ok=True)
    refused = sum(outcome.refused for outcome in outcomes)
    _tell(request, refused, "kept: this version of the code does not know their actor", ok=False)
    forbidden = sum(outcome.forbidden for outcome in outcomes)
    _tell(request, forbidden, "kept: you may not start their task", ok=False)
    return redirect("background:dead-letters")


@require_POST
@for_staff("tasks.discard_deadletter")
def discard(request: HttpRequest) -> HttpResponse:
    """Delete dead letters."""
    discarded = 0

    def discard_these(letters: Sequence[DeadLetter]) -> None:
        nonlocal discarded
        deleted = deadletters.discard(letters)
        discarded += len(deleted)
        _log_discarded(request, deleted)

    question = _act_on_selection(request, "discard", discard_these)
    if question:
        return ask(request, question)
    _tell(request, discarded, "discarded", ok=True)
    return redirect("background:dead-letters")


@dataclass
class Selection:
    """The dead letters that a request is about.

    Attributes:
        keys: their queues and ids.
        until: when the latest of them was given up; None if there are none.
        confirmations: what staff must confirm before a retry, by task and arguments.
    """

    keys: list[tuple[str, str]] = field(default_factory=list)
    until: datetime | None = None
    confirmations: dict[str, str] = field(default_factory=dict)

    def add(self, letter: DeadLetter) -> None:
        self.keys.append((letter.queue, letter.id))
        self.until = max(self.until or letter.died_at, letter.died_at)

    def add_confirmation(self, letter: DeadLetter) -> None:
        key = f"{letter.actor} {letter.arguments}"
        if key in self.confirmations or len(self.confirmations) > MAX_CONFIRMATIONS:
            return
        if confirmation := operations.confirmation(letter):
            self.confirmations[key] = f"{letter.actor}: {' '.join(confirmation.lines)}"

    def confirmation_lines(self) -> list[str]:
        lines = list(self.confirmations.values())[:MAX_CONFIRMATIONS]
        return [*lines, "And more."] if len(self.confirmations) > MAX_CONFIRMATIONS else lines


def _act_on_selection(
    request: HttpRequest, verb: str, act: Callable[[Sequence[DeadLetter]], None]
) -> Question | None:
    """Retry or discard the dead letters that a request selects, in batches.

    Returns:
        A question to ask first, if it is not confirmed: then nothing was done. Dead letters that
        came after the question are left alone.
    """
    try:
        selection = _selection(request, verb)
        question = _question(request, selection, verb)
        if question is None:
            for keys in batched(selection.keys, IDS_PER_EXCHANGE):
                act(deadletters.find(keys))
    except RedisError as error:
        messages.error(request, f"The broker cannot be reached: {reason(error)}")
        return None
    return question


def _selection(request: HttpRequest, verb: str) -> Selection:
    """Return the dead letters that are ticked, or all that match, up to when they were counted."""
    selection, queues = Selection(), queue_names()
    if request.POST.get("all"):
        actor = request.POST.get("actor", "")
        until = posted_moment(request, "until") if is_confirmed(request) else None
        batches = deadletters.all_of(queues, actor=actor, until=until)
    else:
        ticked = [value.partition(" ") for value in request.POST.getlist("letter")]
        known = [(queue, letter) for queue, _, letter in ticked if queue in queues]
        batches = iter([deadletters.find(known)])
    for letter in chain.from_iterable(batches):
        selection.add(letter)
        if verb == "retry":
            selection.add_confirmation(letter)
    return selection


def _question(request: HttpRequest, selection: Selection, verb: str) -> Question | None:
    """Return what to ask before these letters are retried or discarded; None if confirmed."""
    is_whole = bool(request.POST.get("all"))
    is_settled = is_confirmed(request)
    if is_whole:
        # A worker with a slow clock may have added a letter among those that were counted.
        until, counted = posted_moment(request, "until"), posted_number(request, "count")
        is_settled = is_settled and until is not None and len(selection.keys) <= (counted or 0)
    if is_settled or not selection.keys or not (is_whole or selection.confirmations):
        return None
    letters = count(len(selection.keys), "dead letter")
    fields = [("letter", f"{queue} {letter}") for queue, letter in selection.keys]
    if is_whole:
        fields = [
            ("all", "1"),
            ("actor", request.POST.get("actor", "")),
            ("until", selection.until.isoformat() if selection.until else ""),
            ("count", str(len(selection.keys))),
        ]
    return Question(
        title=f"{verb.capitalize()} dead letters",
        lines=(f"{letters} would be {MEANING[verb]}.", *selection.confirmation_lines()),
        yes=f"Yes, {verb} {letters}",
        action=request.path,
        fields=tuple(fields),
        no=reverse("background:dead-letters"),
    )


def _tell(request: HttpRequest, number: int, what: str, *, ok: bool) -> None:
    """Tell the outcome for a number of dead letters, unless it is 0."""
    if number:
        add = messages.success if ok else messages.warning
        add(request, f"{count(number, 'dead letter')} {what}.")


def _log_discarded(request: HttpRequest, letters: Sequence[DeadLetter]) -> None:
    """Write to the admin's log which dead letters were discarded: they have no row of their own."""
    kind = ContentType.objects.get_for_model(TaskRun)
    LogEntry.objects.bulk_create(
        LogEntry(
            user_id=operator(request).pk,
            content_type=kind,
            object_repr=f"dead letter {letter.id} of {letter.actor or 'unknown'}"[:200],
            action_flag=DELETION,
            change_message="Discarded.",
        )
        for letter in letters
    )
