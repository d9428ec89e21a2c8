"""The console's pages: background work, under the admin's logins and permissions."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from itertools import islice
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe
from dramatiq.broker import get_broker
from redis.exceptions import RedisError

from accounts.staff.rights import StaffRequest
from tasks.engine.broker import dead_letters as deadletters
from tasks.engine.console.overview import read_overview
from tasks.engine.models import Process, TaskRun
from tasks.engine.monitoring.status import WITHHELD
from tasks.engine.operations.dead_letters import can_be_retried, retried_as
from tasks.engine.operations.runs import Refused, check_may_start, check_undoable, may_start
from tasks.engine.recurrence import Recurrence
from tasks.names import TaskName

#: Dead letters on the page, the latest ones.
MOST_LETTERS = 100

#: Slots of a schedule that are shown before it is saved.
NEXT_SLOTS = 5

#: Letters of a dead letter's error that its page shows: the end says the most.
LONGEST_SHOWN = 2_000

type View = Callable[..., HttpResponse]


def for_staff(*permissions: str) -> Callable[[View], View]:
    """Have a view ask for a login to the admin, and for permissions such as `tasks.view_taskrun`.

    Views that start runs name none: what that takes is for the run's task to say.

    Raises:
        PermissionDenied: from the view, for staff without one of the permissions.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def allowed(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
            if not request.user.has_perms(permissions):
                raise PermissionDenied
            return view(request, *args, **kwargs)

        return admin.site.admin_view(allowed)

    return decorate


def may_see_todos(request: HttpRequest) -> bool:
    """Say whether who asks may see what an error's text might quote."""
    return request.user.has_perm("todos.view_todo")


def withheld(text: str, *, unless: bool) -> str:
    """Return a text, or that it is withheld; nothing if there is none."""
    return text if unless or not text else WITHHELD


def is_live(request: HttpRequest) -> bool:
    """Say whether HTMX asks, for a part of a page."""
    return request.headers.get("HX-Request") == "true"


def queue_names() -> list[str]:
    """Return the queues that an actor uses, or a worker has served lately."""
    used = {actor.queue_name for actor in get_broker().actors.values()}
    served = {
        name for queues in Process.objects.values_list("queues", flat=True) for name in queues
    }
    return sorted(used | served)


@require_safe
@for_staff("tasks.view_taskrun")
def overview(request: StaffRequest) -> HttpResponse:
    """Show how background work is doing; to HTMX, the part of the page that changes."""
    live = is_live(request)
    shown = read_overview(with_errors=may_see_todos(request), with_charts=not live)
    schedules = shown.status.schedules if shown.status else ()
    context = {
        **({} if live else admin.site.each_context(request)),
        "title": "Background work",
        "overview": shown,
        "startable": {
            each.row.task for each in schedules if may_start(request.user, each.row.task)
        },
    }
    template = "tasks/console/live.html" if live else "tasks/console/overview.html"
    return TemplateResponse(request, template, context)


@require_safe
@for_staff("tasks.view_taskrun")
def dead_letters(request: StaffRequest) -> HttpResponse:
    """Show the messages that Dramatiq has given up."""
    unread, total, letters = "", 0, []
    queues, actor = queue_names(), request.GET.get("actor", "")
    try:
        total = deadletters.count(queues)
        letters = deadletters.read(queues, limit=MOST_LETTERS)
    except RedisError as error:
        unread = str(error) or type(error).__name__
    retried = retried_as(letters)
    see = may_see_todos(request)
    rows = [
        {
            "letter": letter,
            "run": retried.get(letter.id),
            "known": can_be_retried(letter),
            "error": withheld(letter.error[-LONGEST_SHOWN:], unless=see),
            "arguments": withheld(letter.arguments[:LONGEST_SHOWN], unless=see),
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


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked before something is done that cannot be taken back, or that is large.

    Attributes:
        title: what would be done.
        lines: what that would mean.
        yes: the button that does it.
        action: where it posts to.
        fields: what it posts, besides `confirmed`.
        no: the page to go back to.
    """

    title: str
    lines: tuple[str, ...]
    yes: str
    action: str
    no: str
    fields: tuple[tuple[str, str], ...] = ()


def ask(request: HttpRequest, question: Question) -> HttpResponse:
    """Ask whether to go on."""
    context = {
        **admin.site.each_context(request),
        "title": question.title,
        "question": question,
    }
    return TemplateResponse(request, "tasks/console/confirm.html", context)


@require_safe
@for_staff()
def confirm_undo(request: StaffRequest, pk: int) -> HttpResponse:
    """Say how many todos would come back, and ask whether to go on."""
    check_may_start(request.user, TaskName.TODO_RESTORE)
    run = get_object_or_404(TaskRun, pk=pk)
    page = reverse("admin:tasks_taskrun_change", args=[pk])
    yes = ""
    try:
        preview = check_undoable(run)
    except Refused as error:
        lines = [str(error)]
    else:
        yes = f"Yes, undo run {pk}"
        back = todos(preview["todos_restored"])
        lines = [f"{back} will come back, as they were, and be kept for a week at least."]
        if preview["todos_left"]:
            reasons = sorted({error["reason"] for error in preview["errors"]})
            lines.append(f"{preview['todos_left']:,} cannot: {' or '.join(reasons)}.")
    return ask(
        request,
        Question(
            title=f"Undo run {pk}",
            lines=tuple(lines),
            yes=yes,
            action=reverse("background:undo", args=[pk]),
            no=page,
        ),
    )


def todos(number: int) -> str:
    """Say how many todos."""
    return "1 todo" if number == 1 else f"{number:,} todos"


@require_POST
@for_staff("tasks.view_schedule")
def coming_times(request: StaffRequest) -> HttpResponse:
    """Show when times would come next that somebody is typing, before they are saved."""
    given = {name: request.POST.get(name, "").strip() for name in ("crontab", "every", "timezone")}
    zone = given["timezone"] or settings.TIME_ZONE
    fault, slots = "", []
    try:
        every = int(given["every"]) if given["every"] else None
        times = Recurrence(crontab=given["crontab"], every=every, timezone=zone)
        found = islice(times.after(timezone.now()), NEXT_SLOTS)
        slots = [slot.astimezone(ZoneInfo(zone)) for slot in found]
        words = times.describe()
    except ValueError as error:
        fault, words = str(error), ""
    context = {
        **({} if is_live(request) else admin.site.each_context(request)),
        "title": "Next times",
        "fault": fault,
        "words": words,
        "slots": slots,
        "zone": zone,
        "base": "tasks/console/bare.html" if is_live(request) else "admin/base_site.html",
    }
    return TemplateResponse(request, "tasks/console/coming_times.html", context)
