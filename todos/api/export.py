"""Everything that is kept of a person."""

from django.http import HttpResponseBase
from ninja import Router

from accounts.api.callers import CallerRequest
from todos.pages.export import csv_file, json_file

router = Router(tags=["you"])

#: What the answers are, for the document: they are written piece by piece.
JSON = {"application/json": {"schema": {"type": "object"}}}
CSV = {"text/csv": {"schema": {"type": "string"}}}


@router.get(
    "/export",
    operation_id="exportAll",
    summary="Everything that is kept of you",
    openapi_extra={"responses": {200: {"description": "OK", "content": JSON}}},
)
def export_all(request: CallerRequest) -> HttpResponseBase:
    """The file that the preferences page offers, with its version in it."""
    return json_file(request.auth.user)


@router.get(
    "/export.csv",
    operation_id="exportTodos",
    summary="Your todos, for a spreadsheet",
    openapi_extra={"responses": {200: {"description": "OK", "content": CSV}}},
)
def export_todos(request: CallerRequest) -> HttpResponseBase:
    """In UTF-8 with a byte order mark. What a spreadsheet would compute is quoted."""
    return csv_file(request.auth.user)
