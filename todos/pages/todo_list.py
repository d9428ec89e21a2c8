"""A person's list."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def show(request: HttpRequest) -> HttpResponse:
    """Show the list; to somebody who is not logged in, what Tidy is."""
    if not request.user.is_authenticated:
        return render(request, "todos/welcome.html")
    return render(request, "todos/list.html")
