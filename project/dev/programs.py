"""Tidy's programs, as `manage.py dev` runs them."""

import sys
from collections.abc import Iterator

from django.conf import settings

from project.dev.address import is_open
from project.dev.program import Program
from project.dev.sources import Sources
from project.dev.valkey import embedded_valkey


def programs(host: str, port: int) -> Iterator[Program]:
    """Yield the programs, for a site that listens here, in the order in which they start.

    Raises:
        CommandError: the embedded broker is needed and cannot run here.
    """
    if settings.REDIS_URL == settings.EMBEDDED_VALKEY_URL:
        yield embedded_valkey(settings.VALKEY_DIR, settings.VALKEY_SOCKET)
    manage = [sys.executable, str(settings.BASE_DIR / "manage.py")]
    worker = [*manage, "rundramatiq", "--processes", "1", "--threads", "4"]
    # Less than the graces of the supervisor and the reaper, so that it can put messages back.
    worker += ["--worker-shutdown-timeout", "5000"]
    yield Program("worker", worker, code_changed=Sources(settings.BASE_DIR).changed)
    scheduler = [*manage, "runscheduler"]
    yield Program("scheduler", scheduler, code_changed=Sources(settings.BASE_DIR).changed)
    # Its own reloader misses what changes between its imports and its first look at the files.
    web = [*manage, "runserver", "--noreload", f"{host}:{port}"]
    yield Program(
        "web",
        web,
        ready=lambda: is_open(host, port),
        code_changed=Sources(settings.BASE_DIR).changed,
    )
