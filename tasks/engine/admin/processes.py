"""The admin's pages of processes."""

from django.contrib import admin

from tasks.engine.admin.pages import ReadOnlyAdmin
from tasks.engine.models import Process


@admin.register(Process)
class ProcessAdmin(ReadOnlyAdmin):
    list_display = ("kind", "host", "pid", "queues", "started_at", "seen_at")
    ordering = ("kind", "host", "pid")
