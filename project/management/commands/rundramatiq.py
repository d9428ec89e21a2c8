"""`manage.py rundramatiq`: django-dramatiq's own command, which runs the workers, after a check."""

from typing import TYPE_CHECKING, Any

from tasks.engine.management.migrated import check_migrated
from tasks.engine.management.options import check_bounds

if TYPE_CHECKING:
    from django.core.management.base import BaseCommand as RunDramatiq
else:
    from django_dramatiq.management.commands.rundramatiq import Command as RunDramatiq

#: More would be a slip of the keyboard.
MOST = 1_000

#: Milliseconds of a day.
LONGEST_SHUTDOWN = 24 * 60 * 60 * 1000


class Command(RunDramatiq):
    """Run workers."""

    def handle(self, *args: Any, **options: Any) -> str | None:
        """Check the options and the database, then become Dramatiq.

        Raises:
            CommandError: a number makes no sense, or the database has not been migrated.
        """
        check_bounds("processes", options["processes"], 1, MOST)
        check_bounds("threads", options["threads"], 1, MOST)
        shutdown = options["worker_shutdown_timeout"]
        check_bounds("worker-shutdown-timeout", shutdown, 0, LONGEST_SHUTDOWN)
        check_migrated()
        return super().handle(*args, **options)
