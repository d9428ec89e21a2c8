"""The project as a Django app, for its commands, templates and static files."""

from django.apps import AppConfig
from django.conf import settings

from project.uncaught import log_uncaught


class ProjectConfig(AppConfig):
    name = "project"

    def ready(self) -> None:
        if not settings.DEBUG:
            log_uncaught()
