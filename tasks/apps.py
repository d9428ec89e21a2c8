"""Tidy's own background work."""

from django.apps import AppConfig


class TidyTasksConfig(AppConfig):
    """Tidy's names, actors and schedules; `tasks.engine` runs them."""

    name = "tasks"
    label = "tidy_tasks"
    verbose_name = "Tidy's tasks"
