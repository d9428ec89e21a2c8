"""Requests to people's pages."""

from django_htmx.middleware import HtmxDetails

from accounts.pages import requests


class PersonRequest(requests.PersonRequest):
    """A request of somebody who is logged in, perhaps for a part of a page."""

    htmx: HtmxDetails
