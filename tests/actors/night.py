"""A bad night: this worker's clock is hours ahead, and it tries again soon."""

from datetime import datetime, timedelta

from django.utils import timezone

from tasks import actors

AHEAD = timedelta(hours=5)

#: Between two tries (ms), so that the night is soon over.
BACKOFF = 100

right_now = timezone.now


def wrong_now() -> datetime:
    return right_now() + AHEAD


timezone.now = wrong_now
for actor in (actors.todo_cleanup, actors.todo_purge, actors.sessions_clear):
    actor.options.update(min_backoff=BACKOFF, max_backoff=BACKOFF)
