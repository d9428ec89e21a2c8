"""How people's pages answer: after a log-in, whole or in part, and when a todo is gone."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Concatenate
from urllib.parse import quote

from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.cache import patch_vary_headers
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST
from django_htmx.http import HttpResponseClientRedirect

from todos.models import TrashedTodo
from todos.pages.given import next_of
from todos.pages.notices import Offer, report
from todos.pages.requests import PersonRequest
from todos.pages.trash_words import quoted

type View[**P] = Callable[Concatenate[PersonRequest, P], HttpResponse]


def logged_in[**P](view: View[P]) -> View[P]:
    """Ask whoever is not logged in to do so, and then bring them back to where they were.

    Unlike Django's own decorator, a form that is posted brings them back to the page it stood on;
    and what a script asks for is a page for the whole window.
    """

    @wraps(view)
    def answer(request: PersonRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        if request.user.is_authenticated:
            return view(request, *args, **kwargs)
        is_page = request.method == "GET" and not request.htmx
        login = redirect_to_login(request.get_full_path() if is_page else next_of(request))
        return HttpResponseClientRedirect(login["Location"]) if request.htmx else login

    return answer


def posted[**P](view: View[P]) -> View[P]:
    """Answer forms alone, of those who are logged in."""
    answer: View[P] = require_POST(logged_in(view))
    return answer


def page(
    request: PersonRequest,
    template: str,
    context: Mapping[str, Any],
    *,
    part: str = "main",
    into: str = "#main",
    status: int = 200,
) -> HttpResponse:
    """Answer with a page; with a part of it, if a script asks.

    Args:
        request: to answer.
        template: of the whole page.
        context: for the template.
        part: the partial of the template for a script.
        into: which element of the page it is for; a row is replaced, #main is filled.
        status: of the answer.
    """
    context = {"here": quote(request.get_full_path()), "urls": button_urls(), **context}
    if request.htmx and not request.htmx.history_restore_request:
        response = render(request, f"{template}#{part}", context, status=status)
        # Wherever redirects have led to, it goes to the right place.
        response["HX-Retarget"] = into
        response["HX-Reswap"] = "innerHTML" if into == "#main" else "outerHTML"
    else:
        response = render(request, template, context, status=status)
    patch_vary_headers(response, ["HX-Request"])
    return response


def button_urls() -> dict[str, str]:
    """Return where the buttons of rows post to: a page has many."""
    return {verb: reverse(f"todos:{verb}") for verb in ("complete", "reopen", "delete", "restore")}


def gone(request: PersonRequest, todo_id: int) -> HttpResponse:
    """Say that a todo is in the trash, and offer it; if it is not there either, it is not found.

    Raises:
        Http404: the person has no such todo.
    """
    trashed = TrashedTodo.objects.filter(user=request.user, pk=todo_id).first()
    if trashed is None:
        raise Http404
    text = _("%(title)s is not on your list any more: it is in the trash.")
    report(
        request,
        text % {"title": quoted(trashed.title)},
        Offer(label=_("Restore"), url=reverse("todos:restore"), fields={"id": str(todo_id)}),
        level=messages.WARNING,
    )
    return redirect(next_of(request))
