"""What the console's views share: permissions, posted forms, questions, and the admin's log."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import wraps
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.models import LogEntry
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.timezone import is_aware
from django.views.decorators.http import require_http_methods

from tasks.engine.models.queue import MAX_NOTE_CHARACTERS
from tasks.engine.operations.errors import Refused
from tasks.engine.operations.permissions import VIEW, VIEW_DETAILS, may, withhold

#: Rows of one action that the admin's log names one by one; more than that are counted.
MAX_LOGGED = 1_000

#: The label of a pause's note.
WHY = "Why? For those who find it paused."

type View = Callable[..., HttpResponse]


def for_staff(*permissions: str) -> Callable[[View], View]:
    """Make a view require a login to the admin, and permissions such as `tasks.view_schedule`."""

    def decorate(view: View) -> View:
        @wraps(view)
        def allowed(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
            if not all(may(request.user, permission) for permission in permissions):
                raise PermissionDenied
            return view(request, *args, **kwargs)

        return admin.site.admin_view(allowed)

    return decorate


def for_operators(*permissions: str) -> Callable[[View], View]:
    """Make a view of runs or dead letters require the permission to view runs, and others.

    Views that start runs name no other: what that takes depends on the run's task.
    """
    return for_staff(VIEW, *permissions)


def for_posts(page: str = "background:overview", *names: str) -> Callable[[View], View]:
    """Make a view answer to POST. To a GET, as of a question's address, it shows a page instead.

    Args:
        page: the name of the page's address.
        names: the view's arguments that are part of it.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def posted(request: HttpRequest, *args: object, **kwargs: Any) -> HttpResponse:
            if request.method in {"GET", "HEAD"}:
                return redirect(page, *(kwargs[name] for name in names))
            return view(request, *args, **kwargs)

        return require_http_methods(["GET", "HEAD", "POST"])(posted)

    return decorate


def operator(request: HttpRequest) -> AbstractBaseUser:
    """Return who sent a request: `for_staff` has made sure that they are logged in."""
    if not isinstance(request.user, AbstractBaseUser):
        raise PermissionDenied
    return request.user


def may_view_details(request: HttpRequest) -> bool:
    """Say whether the operator may see what an error's text might quote."""
    return may(request.user, VIEW_DETAILS)


def is_live(request: HttpRequest) -> bool:
    """Say whether HTMX sent the request, for a part of a page."""
    return request.headers.get("HX-Request") == "true"


def is_confirmed(request: HttpRequest) -> bool:
    """Say whether the operator has answered the question about it with yes."""
    return bool(request.POST.get("confirmed"))


def posted_moment(request: HttpRequest, name: str) -> datetime | None:
    """Return a moment that a form posted; None if it is not one."""
    try:
        given = datetime.fromisoformat(request.POST.get(name, ""))
        return given.astimezone(UTC) if is_aware(given) else None
    except (ValueError, OverflowError):
        return None


def posted_number(request: HttpRequest, name: str) -> int | None:
    """Return a number that a form posted; None if it is not one."""
    try:
        return int(request.POST.get(name, ""))
    except ValueError:
        return None


def page_before(request: HttpRequest) -> str:
    """Return the page of this site that a request came from; otherwise the console's."""
    page = request.POST.get("back", "")
    if url_has_allowed_host_and_scheme(
        page, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    ):
        return page
    return reverse("background:overview")


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question before something is done that is large or cannot be undone.

    Attributes:
        yes: the text of the button that does it; empty if it cannot be done.
        action: the address that the button posts to, with `fields` and `confirmed`.
        note: the label of a line to be filled in, posted as `note`; empty for none.
        given: what was filled in, if the question is asked again, and `fault`, why it is.
        no: the page to return to.
        change: what a button to change the fields posts as well; empty if there is none.
    """

    title: str
    lines: tuple[str, ...]
    yes: str
    action: str
    no: str
    fields: tuple[tuple[str, str], ...] = ()
    change: str = ""
    note: str = ""
    given: str = ""
    fault: str = ""


def ask(request: HttpRequest, question: Question) -> HttpResponse:
    context = {
        **admin.site.each_context(request),
        "title": question.title,
        "question": question,
        "max_note": MAX_NOTE_CHARACTERS,
    }
    return TemplateResponse(request, "tasks/console/confirm.html", context)


def refusal(request: HttpRequest, error: Refused) -> str:
    """Return why something is not done, in as much detail as the operator may see."""
    detail = withhold(error.detail, unless=may_view_details(request))
    return f"{error.text}: {detail}" if detail else error.text


def show_refusal(request: HttpRequest, error: Refused) -> None:
    """Say why something was not done, with a link to the run that is in the way."""
    text = refusal(request, error)
    if error.run_id is not None:
        run = reverse("admin:tasks_taskrun_change", args=[error.run_id])
        text = format_html('{} <a href="{}">See run {}</a>', text, run, error.run_id)
    messages.error(request, text)


def log(request: HttpRequest, rows: Sequence[Model], action: int, message: str) -> None:
    """Write a change of rows of one kind to the admin's log: a line each, or one for many."""
    if len(rows) <= MAX_LOGGED:
        LogEntry.objects.log_actions(operator(request).pk, rows, action, message)
        return
    LogEntry.objects.create(
        user_id=operator(request).pk,
        content_type=ContentType.objects.get_for_model(rows[0]),
        object_repr=f"{len(rows):,} {rows[0]._meta.verbose_name_plural}",
        action_flag=action,
        change_message=message,
    )
