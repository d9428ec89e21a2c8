"""A person's list."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from todos.pages.sweep_notice import show_sweeps


def show(request: HttpRequest) -> HttpResponse:
    """Show the list; to somebody who is not logged in, what Tidy is."""
    if not request.user.is_authenticated:
        return render(request, "todos/welcome.html")
    sweep_notice = show_sweeps(request.user, now=timezone.now())
    return render(request, "todos/list.html", {"sweep_notice": sweep_notice})
