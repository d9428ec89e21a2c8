"""The project's own app: commands that concern all of Tidy."""

from django.apps import AppConfig


class ProjectConfig(AppConfig):
    """Holds no models; gives `manage.py` the project's own commands."""

    name = "project"
