"""The one clock that all replicas go by: the database's."""

from datetime import datetime, timedelta

from django.db import connection
from django.utils import timezone

#: What is later than now by more than this was written by a clock that was ahead.
CLOCK_TOLERANCE = timedelta(minutes=1)


def database_now() -> datetime:
    """Return the database's time, in UTC.

    On SQLite this is the machine's own, which everyone who can open the file shares.
    """
    if connection.vendor != "postgresql":
        return timezone.now()
    with connection.cursor() as cursor:
        # Not now(), which stands still for as long as a transaction lasts.
        cursor.execute("SELECT clock_timestamp()")
        moment: datetime = cursor.fetchone()[0]
    return moment
