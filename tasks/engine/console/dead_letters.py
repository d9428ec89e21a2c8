"""The console's page of dead letters, and what operators do with them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import batched, chain

from django.contrib import admin, messages
from django.contrib.admin.models import ADDITION, DELETION, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe
from redis.exceptions import RedisError

from tasks.engine.broker import dead_letters as deadletters
from tasks.engine.broker.dead_letters import DeadLetter
from tasks.engine.broker.keys import IDS_PER_EXCHANGE
from tasks.engine.console.requests import (
    Question,
    ask,
    for_operators,
    for_posts,
    is_confirmed,
    log,
    may_view_details,
    operator,
    posted_moment,
    posted_number,
)
from tasks.engine.models import TaskRun
from tasks.engine.operations import dead_letters as operations
from tasks.engine.operations.permissions import withhold
from tasks.engine.operations.queues import queue_names
from tasks.engine.words import count, reason

#: Dead letters on the page, the latest ones.
MAX_LETTERS = 100

#: Characters of an error that are shown: its end, which says the most.
MAX_SHOWN = 2_000

#: Confirmations that a question about dead letters lists; there may be one for each letter.
MAX_CONFIRMATIONS = 10

MEANING = {"retry": "sent again", "discard": "deleted for good"}


@require_safe
@for_operators()
def dead_letters(request: HttpRequest) -> HttpResponse:
    """Show the messages that failed and are not retried."""
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


@for_posts("background:dead-letters")
@for_operators("tasks.retry_deadletter")
def retry(request: HttpRequest) -> HttpResponse:
    """Create runs with the messages of dead letters."""
    act = partial(operations.retry, by=operator(request))
    outcomes = _act_on_selection(request, "retry", act)
    if isinstance(outcomes, Question):
        return ask(request, outcomes)
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


@for_posts("background:dead-letters")
@for_operators("tasks.discard_deadletter")
def discard(request: HttpRequest) -> HttpResponse:
    def act(letters: Sequence[DeadLetter]) -> int:
        deleted = deadletters.discard(letters)
        _log_discarded(request, deleted)
        return len(deleted)

    counts = _act_on_selection(request, "discard", act)
    if isinstance(counts, Question):
        return ask(request, counts)
    _tell(request, sum(counts), "discarded", ok=True)
    return redirect("background:dead-letters")


@dataclass
class Selection:
    """Dead letters by queue and id, and when the latest died; None if no moment is known.

    `confirmations` are what staff must confirm before a retry, by task and arguments.
    """

    keys: list[tuple[str, str]] = field(default_factory=list)
    until: datetime | None = None
    confirmations: dict[str, str] = field(default_factory=dict)

    def add(self, letter: DeadLetter, verb: str) -> None:
        self.keys.append((letter.queue, letter.id))
        if letter.died_at:
            self.until = max(self.until or letter.died_at, letter.died_at)
        if verb == "retry":
            self._add_confirmation(letter)

    def _add_confirmation(self, letter: DeadLetter) -> None:
        key = f"{letter.actor} {letter.arguments}"
        if key in self.confirmations or len(self.confirmations) > MAX_CONFIRMATIONS:
            return
        if confirmation := operations.confirmation(letter):
            self.confirmations[key] = f"{letter.actor}: {' '.join(confirmation.lines)}"

    def confirmation_lines(self) -> list[str]:
        lines = list(self.confirmations.values())[:MAX_CONFIRMATIONS]
        return [*lines, "And more."] if len(self.confirmations) > MAX_CONFIRMATIONS else lines


def _act_on_selection[R](
    request: HttpRequest, verb: str, act: Callable[[Sequence[DeadLetter]], R]
) -> Question | list[R]:
    """Retry or discard the dead letters that a request selects, in batches.

    Returns:
        What `act` returned of each batch; or, if nothing was done yet, a question to ask first.
        Dead letters that come after the question are left alone.
    """
    done = []
    try:
        selection = _selection(request, verb)
        if question := _question(request, selection, verb):
            return question
        for keys in batched(selection.keys, IDS_PER_EXCHANGE):
            done.append(act(deadletters.find(keys)))  # noqa: PERF401  (an error keeps the others)
    except RedisError as error:
        messages.error(request, f"The broker cannot be reached: {reason(error)}")
    return done


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
        selection.add(letter, verb)
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
            ("until", (selection.until or timezone.now()).isoformat()),
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
