"""The project as a Django app, for its commands, templates and static files."""

from django.apps import AppConfig


class ProjectConfig(AppConfig):
    name = "project"
