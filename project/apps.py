"""The project as a Django app, for its commands, templates and static files."""

from django.apps import AppConfig
from django.conf import settings
from dramatiq.broker import get_broker

from project.flushing import Flush
from project.logs.uncaught import log_uncaught


class ProjectConfig(AppConfig):
    name = "project"

    def ready(self) -> None:
        if not settings.DEBUG:
            log_uncaught()
        end_tracing = None
        if settings.OTEL_ENDPOINT:
            from project.tracing import start_tracing  # noqa: PLC0415  (an extra, and off costs nothing)

            end_tracing = start_tracing()
        if end_tracing or settings.SENTRY_DSN:
            get_broker().add_middleware(Flush(end_tracing))
