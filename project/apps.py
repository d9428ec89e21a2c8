"""The project as a Django app, for its commands, templates and static files."""

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import Tags, register
from dramatiq.broker import get_broker

from project.flushing import Flush
from project.logs.uncaught import log_uncaught
from project.static_files import check_static_files


class ProjectConfig(AppConfig):
    name = "project"

    def ready(self) -> None:
        register(check_static_files, Tags.staticfiles, deploy=True)
        if not settings.DEBUG:
            log_uncaught()
        end_tracing = None
        if settings.OTEL_ENDPOINT:
            from project.tracing import start_tracing  # noqa: PLC0415  (an extra, and off costs nothing)

            end_tracing = start_tracing()
        if end_tracing or settings.SENTRY_DSN:
            get_broker().add_middleware(Flush(end_tracing))
