"""The API: version 1, with all its operations."""

from typing import Any

from django.http import HttpRequest
from ninja import NinjaAPI
from ninja.renderers import BaseRenderer
from pydantic_core import to_json

from accounts.api.callers import CALLERS
from accounts.api.operations import router as accounts_router
from project.api.errors import answer_errors
from project.api.requests import StrictParser, strictly
from todos.api.cleanup import router as cleanup_router
from todos.api.export import router as export_router
from todos.api.todos import router as todos_router
from todos.api.trash import router as trash_router


class Renderer(BaseRenderer):
    """Writes JSON with moments to the microsecond: some of them name what to restore."""

    media_type = "application/json"

    def render(
        self,
        request: HttpRequest,  # noqa: ARG002  (ninja gives it by name)
        data: Any,
        *,
        response_status: int,  # noqa: ARG002
    ) -> bytes:
        """Return the body of an answer."""
        return to_json(data)


api = NinjaAPI(
    title="Tidy",
    version="1",
    urls_namespace="api",
    auth=CALLERS,
    renderer=Renderer(),
    parser=StrictParser(),
    openapi_url=None,
    docs_url=None,
)
api.add_decorator(strictly, mode="view")
answer_errors(api)
for router in (todos_router, trash_router, cleanup_router, accounts_router, export_router):
    api.add_router("", router)
