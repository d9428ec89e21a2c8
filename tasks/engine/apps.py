"""The engine as a Django app."""

from django.apps import AppConfig


class EngineConfig(AppConfig):
    """Runs, schedules and processes; its tables and permissions go by the label `tasks`."""

    name = "tasks.engine"
    label = "tasks"
    verbose_name = "Background work"
