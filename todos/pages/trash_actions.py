"""What the buttons of the trash do, and the Undo of notices: restore, and delete for good."""

from datetime import datetime, timedelta
from functools import wraps
from hashlib import sha256
from itertools import batched

from django.contrib import messages
from django.db.models import F, Max
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import User
from todos.bulk.at_once import MOST_AT_ONCE
from todos.models import Todo, TrashedTodo, TrashedTodoQuerySet
from todos.pages.answers import View, logged_in
from todos.pages.given import back, moment, row_ids
from todos.pages.notices import report
from todos.pages.requests import PersonRequest
from todos.pages.trash_words import brought_back, number, quoted
from todos.services import TodoService

#: Whoever clicks twice does so within this time.
JUST_NOW = timedelta(minutes=1)


def posted(view: View[[]]) -> View[[]]:
    """Let a view answer forms alone; who comes to its address sees the trash."""

    @wraps(view)
    def answer(request: PersonRequest) -> HttpResponse:
        return view(request) if request.method == "POST" else redirect("todos:trash")

    return logged_in(answer)


def trash_of(request: PersonRequest) -> TrashedTodoQuerySet:
    return TrashedTodo.objects.filter(user=request.user)


@posted
def restore(request: PersonRequest) -> HttpResponse:
    """Restore the todos whose ids are given."""
    ids = row_ids(request.POST.getlist("id"))
    if not ids:
        report(request, _("Choose a todo first."), level=messages.WARNING)
        return back(request, "todos:trash")
    done = TodoService.restore_at_once(todos=trash_of(request).filter(pk__in=ids), number=len(ids))
    mine = Todo.objects.filter(user=request.user, pk__in=ids)
    # First what was just restored, then what had been on the list before.
    there = list(mine.order_by(F("restored_at").desc(nulls_last=True)))
    restored = done["todos_restored"]
    already = there[restored:]
    gone = len(ids) - len(there) - done["todos_left"]
    if gone == len(ids):
        return nothing_there(request)
    words = (
        brought_back(request.user, done, there[:restored]),
        already_there(already),
        gone_for_good(gone),
    )
    level = messages.SUCCESS if restored else messages.INFO
    report(request, " ".join(filter(None, words)), level=level)
    return back(request, "todos:trash")


def already_there(todos: list[Todo]) -> str:
    if not todos:
        return ""
    return ngettext(
        "%(title)s is on your list already.",
        "%(count)s of them are on your list already.",
        len(todos),
    ) % {"title": quoted(todos[0].title), "count": number(len(todos))}


def gone_for_good(count: int) -> str:
    if count <= 0:
        return ""
    return ngettext(
        "%(count)s of them is gone for good.", "%(count)s of them are gone for good.", count
    ) % {"count": number(count)}


def nothing_there(request: PersonRequest) -> HttpResponse:
    """Answer that a person has no such todo: not in the trash, and not on the list."""
    return render(request, "todos/gone.html", status=404)


@posted
def restore_night(request: PersonRequest) -> HttpResponse:
    """Restore what the cleanup took from this person: in some runs, or between two moments."""
    trash = trash_of(request)
    if "until" in request.POST:
        since, until = (moment(request.POST.get(name, "")) for name in ("since", "until"))
        return restore_all(request, trash.swept_between(since, until), left_at=until)
    return restore_all(request, trash.swept_by(*row_ids(request.POST.getlist("run"))))


@posted
def restore_cleared(request: PersonRequest) -> HttpResponse:
    """Restore what this person cleared from their list at one moment."""
    at = moment(request.POST.get("trashed_at", ""))
    return restore_all(request, TrashedTodo.objects.cleared(by=request.user, at=at), left_at=at)


def restore_all(
    request: PersonRequest, todos: TrashedTodoQuerySet, *, left_at: datetime | None = None
) -> HttpResponse:
    """Restore some todos of this person.

    Args:
        todos: which.
        left_at: when the last of them left the list, if that is known.
    """
    done = TodoService.restore_at_once(todos=todos)
    text = brought_back(request.user, done) or where_they_are(request.user, left_at=left_at)
    level = messages.SUCCESS if done["todos_restored"] else messages.INFO
    report(request, text, level=level)
    return back(request, "todos:trash")


def where_they_are(user: User, *, left_at: datetime | None) -> str:
    """Return what has become of todos that are not in the trash any more.

    A todo on the list does not say what it was restored from. But if nothing was restored since
    these left, none of them was; and what was restored just now was by the click before this one.
    """
    found = Todo.objects.filter(user=user).aggregate(last=Max("restored_at"))
    restored_at: datetime | None = found["last"]
    if restored_at is None or (left_at and restored_at < left_at):
        return _("Nothing of that is in the trash any more: it is gone for good.")
    if restored_at > timezone.now() - JUST_NOW:
        return _("That is on your list already.")
    return _("Nothing of that is in the trash any more. What came back is on your list.")


@logged_in
def delete_forever(request: PersonRequest) -> HttpResponse:
    """Delete the todos whose ids are given for good, once that has been confirmed."""
    given = request.POST if request.method == "POST" else request.GET
    ids = row_ids(given.getlist("id"))
    if not ids:
        report(request, _("Choose a todo first."), level=messages.WARNING)
        return redirect("todos:trash")
    selection = trash_of(request).filter(pk__in=ids)
    if request.method != "POST":
        todos = list(selection.order_by("-trashed_at", "-pk").only("title"))
        if not todos:
            return nothing_there(request)
        return render(request, "todos/delete_forever.html", {"todos": todos})
    if "sure" not in request.POST:
        query = "&".join(f"id={pk}" for pk in sorted(ids))
        return redirect(f"{reverse('todos:delete_forever')}?{query}")
    purged = TodoService.purge_selected(todos=selection, number=len(ids))
    if not purged and not Todo.objects.filter(user=request.user, pk__in=ids).exists():
        return nothing_there(request)
    return say_deleted(request, purged)


@logged_in
def empty_trash(request: PersonRequest) -> HttpResponse:
    """Delete all that was in the trash when the page was shown for good, once that is confirmed.

    What is swept or deleted while the question stands there stays: nobody has been asked about it.
    A moment alone does not tell that apart: a removal bears the one at which it began, and is seen
    when it ends.
    """
    trash = trash_of(request)
    if request.method == "POST" and "until" in request.POST:
        ids = ids_until(trash, moment(request.POST["until"]))
        if not ids or digest(ids) == request.POST.get("seen"):
            return say_deleted(request, purge(trash, ids))
        text = _("Your trash has changed meanwhile. Nothing has been deleted yet.")
        report(request, text, level=messages.WARNING)
    newest: datetime | None = trash.aggregate(newest=Max("trashed_at"))["newest"]
    ids = ids_until(trash, newest) if newest else []
    if not ids:
        return redirect("todos:trash")
    context = {"todos": len(ids), "newest": newest, "seen": digest(ids)}
    return render(request, "todos/empty_trash.html", context)


def ids_until(trash: TrashedTodoQuerySet, newest: datetime) -> list[int]:
    """Return the ids of all that left the list up to a moment, in order."""
    ids = trash.filter(trashed_at__lte=newest).order_by("pk").values_list("pk", flat=True)
    return list(ids)


def digest(ids: list[int]) -> str:
    """Return what tells these ids from any others, in the length of a form's field."""
    return sha256(" ".join(map(str, ids)).encode()).hexdigest()


def purge(trash: TrashedTodoQuerySet, ids: list[int]) -> int:
    """Delete todos for good, in as few statements as may be; return how many."""
    return sum(
        TodoService.purge_selected(todos=trash.filter(pk__in=some), number=len(some))
        for some in batched(ids, MOST_AT_ONCE)
    )


def say_deleted(request: PersonRequest, count: int) -> HttpResponse:
    if count:
        text = ngettext(
            "Deleted %(count)s todo for good.", "Deleted %(count)s todos for good.", count
        ) % {"count": number(count)}
        report(request, text)
    else:
        text = _("Nothing was deleted: it is not in the trash any more.")
        report(request, text, level=messages.WARNING)
    return redirect("todos:trash")
