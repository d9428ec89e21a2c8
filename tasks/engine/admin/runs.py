"""The admin's pages of runs: at their addresses, the console's own list and page of each."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from tasks.engine.admin.pages import ReadOnlyAdmin
from tasks.engine.console.run_list import run_list
from tasks.engine.console.run_page import read_run_page
from tasks.engine.models import TaskRun


@admin.register(TaskRun)
class TaskRunAdmin(ReadOnlyAdmin):
    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return run_list(request)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show the console's page of a run; whatever the admin refuses, it refuses as ever."""
        run: TaskRun | None = self.get_object(request, unquote(object_id))
        is_shown = run is not None and self.has_view_permission(request, run)
        if run is None or not is_shown or request.method not in {"GET", "HEAD"}:
            return super().change_view(request, object_id, form_url, extra_context)
        context = {
            **self.admin_site.each_context(request),
            "title": str(run),
            **read_run_page(run.pk, request.user),
            **(extra_context or {}),
        }
        return TemplateResponse(request, "tasks/console/run.html", context)
