"""The engine as a Django app."""

from django.apps import AppConfig
from django.core.checks import register
from django.utils.autoreload import autoreload_started
from django.utils.module_loading import autodiscover_modules

from tasks.engine.alerts.settings import check_alerts
from tasks.engine.conf import check_liveness
from tasks.engine.extension import check_extensions


class EngineConfig(AppConfig):
    """Runs, schedules and processes; its tables and permissions go by the label `tasks`."""

    name = "tasks.engine"
    label = "tasks"
    verbose_name = "Background work"

    def ready(self) -> None:
        """Register every app's `actors.py` with the broker, in every process."""
        autodiscover_modules("actors")
        from tasks.engine.scheduler.defaults import (  # noqa: PLC0415
            check_default_schedules,
            watch_schedules,
        )

        autoreload_started.connect(watch_schedules)
        for check in (check_liveness, check_alerts, check_extensions, check_default_schedules):
            register(check)
