"""The admin's pages of processes."""

from django.contrib import admin

from tasks.engine.admin.pages import ReadOnlyAdmin
from tasks.engine.models import Process


@admin.register(Process)
class ProcessAdmin(ReadOnlyAdmin):
    list_display = ("kind", "host", "pid", "queue_names", "started_at", "seen_at")
    ordering = ("kind", "host", "pid")

    @admin.display(description="queues")
    def queue_names(self, process: Process) -> str:
        return ", ".join(process.queues) or "-"
