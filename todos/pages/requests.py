"""Requests to people's pages."""

from django.http import HttpRequest

from accounts.models import User


class PersonRequest(HttpRequest):
    """A request to a page for those who are logged in."""

    user: User
