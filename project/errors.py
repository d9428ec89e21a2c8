"""The pages of errors that Django would answer in a word or two."""

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.defaults import bad_request


def malformed(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a request that cannot be read: 413 if it is too large, 400 otherwise."""
    if isinstance(exception, RequestDataTooBig):
        # Without the request: whoever sends too much does not get a page with a query.
        return render(None, "413.html", status=413)
    return bad_request(request, exception)
