"""Requests to people's pages."""

from django.http import HttpRequest
from django_htmx.middleware import HtmxDetails

from accounts.models import User


class PersonRequest(HttpRequest):
    """A request to a page for those who are logged in."""

    user: User
    htmx: HtmxDetails
