"""What describes the API, for programs and for people."""

import json
from datetime import timedelta
from functools import cache

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from accounts.api.callers import REQUESTS_A_MINUTE
from accounts.tokens.services import MAX_TOKENS
from project.api.document import FILE
from project.api.reference import Reference
from project.api.requests import MAX_BODY_BYTES
from todos.api.schemas import MAX_IDS, MAX_PAGE_SIZE, PAGE_SIZE
from todos.bounds import MAX_TODOS
from todos.limits import ADDS_A_MINUTE
from todos.services import REPEATED_WITHIN

#: What the page says of limits.
LIMITS = {
    name: f"{number:,}"
    for name, number in {
        "requests_a_minute": REQUESTS_A_MINUTE,
        "adds_a_minute": ADDS_A_MINUTE,
        "body_kib": MAX_BODY_BYTES // 1024,
        "page_size": PAGE_SIZE,
        "max_page_size": MAX_PAGE_SIZE,
        "max_ids": MAX_IDS,
        "max_todos": MAX_TODOS,
        "max_tokens": MAX_TOKENS,
        "repeated_hours": REPEATED_WITHIN // timedelta(hours=1),
    }.items()
}


@cache
def document_bytes() -> bytes:
    """Return the document, as its file has it."""
    return FILE.read_bytes()


@csrf_exempt  # It changes nothing: what is refused is the method.
@require_safe
def show_document(_request: HttpRequest) -> HttpResponse:
    """Answer with the document, whoever asks."""
    return HttpResponse(document_bytes(), content_type="application/json")


@cache
def reference_html(site: str) -> str:
    """Return the document in words, which are the same for everybody."""
    reference = Reference(json.loads(document_bytes()), site)
    return render_to_string("api/reference.html", {"reference": reference, "site": site, **LIMITS})


@csrf_exempt
@require_safe
def show_docs(request: HttpRequest) -> HttpResponse:
    """Show the document in words, to whoever asks."""
    return render(request, "api/docs.html", {"reference": reference_html(settings.SITE_URL)})
