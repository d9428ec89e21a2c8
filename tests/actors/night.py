"""A bad night: this worker's clock is hours ahead, and it may not use the table of sessions."""

from datetime import datetime, timedelta
from typing import NoReturn

from django.db.utils import ProgrammingError
from django.utils import timezone

from accounts.services import SessionService
from tasks import actors

AHEAD = timedelta(hours=5)

#: Between two tries (ms), so that the night is soon over.
BACKOFF = 100

right_now = timezone.now


def wrong_now() -> datetime:
    return right_now() + AHEAD


def refuse() -> NoReturn:
    raise ProgrammingError("permission denied for table django_session")


timezone.now = wrong_now
SessionService.clear = refuse  # type: ignore[method-assign]
for actor in (actors.todo_cleanup, actors.todo_purge, actors.sessions_clear):
    actor.options.update(min_backoff=BACKOFF, max_backoff=BACKOFF)
