"""The tasks app."""

from django.apps import AppConfig


class TasksConfig(AppConfig):
    """Background work: what runs, when, and who may start it."""

    name = "tasks"
    verbose_name = "Background work"

    def ready(self) -> None:
        """Register the actors with the broker, in every process."""
        from tasks import actors  # noqa: F401, PLC0415  (needs the models)
