"""`manage.py rundramatiq`: django-dramatiq's own command, which runs workers, after checks."""

from typing import Any

from django_dramatiq.management.commands import rundramatiq

from tasks.engine.management.migrated import check_migrated
from tasks.engine.management.options import check_bounds

#: More processes or threads than this are a typo.
MOST = 1_000

ONE_DAY_MILLISECONDS = 24 * 60 * 60 * 1000


class Command(rundramatiq.Command):  # type: ignore[misc]  # It ships no types.
    def handle(self, *args: Any, **options: Any) -> None:
        """Check the options and the database, then replace this process by Dramatiq."""
        check_bounds("processes", options["processes"], 1, MOST)
        check_bounds("threads", options["threads"], 1, MOST)
        shutdown = options["worker_shutdown_timeout"]
        check_bounds("worker-shutdown-timeout", shutdown, 0, ONE_DAY_MILLISECONDS)
        check_migrated()
        super().handle(*args, **options)
