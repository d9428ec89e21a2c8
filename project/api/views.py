"""What describes the API, for programs and for people."""

from functools import cache

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from project.api.document import FILE


@cache
def document_bytes() -> bytes:
    """Return the document, as its file has it."""
    return FILE.read_bytes()


@require_safe
def show_document(_request: HttpRequest) -> HttpResponse:
    """Answer with the document, whoever asks."""
    return HttpResponse(document_bytes(), content_type="application/json")
