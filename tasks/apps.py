"""The tasks app."""

from django.apps import AppConfig


class TasksConfig(AppConfig):
    """Background work: what runs, when, and who may start it."""

    name = "tasks"
    verbose_name = "Background work"
