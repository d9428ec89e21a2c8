"""Tidy's own background work."""

from django.apps import AppConfig


class TidyTasksConfig(AppConfig):
    """The names, actors and schedules of Tidy; what runs them is `tasks.engine`."""

    name = "tasks"
    label = "tidy_tasks"
    verbose_name = "Tidy's tasks"

    def ready(self) -> None:
        """Register the actors with the broker, in every process."""
        from tasks import actors  # noqa: F401, PLC0415  (needs the models)
