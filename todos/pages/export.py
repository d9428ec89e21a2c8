"""A person's export, as files to keep."""

from collections.abc import Iterator

from django.contrib.auth.decorators import login_required
from django.http import HttpResponseBase, StreamingHttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.models import User
from todos.export import csv_of, json_of
from todos.pages.requests import PersonRequest


@require_safe
@login_required
def as_json(request: PersonRequest) -> HttpResponseBase:
    """Send everything that is kept of a person."""
    return json_file(request.user)


@require_safe
@login_required
def as_csv(request: PersonRequest) -> HttpResponseBase:
    """Send a person's todos, for a spreadsheet."""
    return csv_file(request.user)


def json_file(user: User) -> HttpResponseBase:
    """Answer with everything that is kept of a person."""
    return _file(json_of(user), "application/json", "json")


def csv_file(user: User) -> HttpResponseBase:
    """Answer with a person's todos, for a spreadsheet."""
    return _file(csv_of(user), "text/csv; charset=utf-8; header=present", "csv")


def _file(content: Iterator[str], content_type: str, suffix: str) -> HttpResponseBase:
    """Send a file piece by piece, while it is read.

    If that fails midway, the connection breaks off: the browser reports a failed download.
    """
    name = f"tidy-{timezone.localdate():%Y-%m-%d}.{suffix}"
    headers = {
        "Content-Disposition": f'attachment; filename="{name}"',
        "Cache-Control": "no-store",
    }
    return StreamingHttpResponse(content, content_type=content_type, headers=headers)
