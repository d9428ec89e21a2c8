"""The database's clock, which stamps and decides; and this host's, which must not be far off."""

from datetime import datetime, timedelta

from django.db import connection
from django.utils import timezone

#: If the two are further apart, nothing is swept or deleted for good.
MOST_APART = timedelta(hours=1)


class ClocksDisagree(Exception):  # noqa: N818  (it names the state, as Django's own do)
    """This host's clock and the database's are too far apart; the text says both times."""


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


def trusted_now() -> datetime:
    """Return the database's time, if this host agrees with it.

    By a wrong clock, todos would be swept too early, or get a time at which the next purge deletes
    them for good. Which of the two clocks is wrong, nobody can tell from here.

    Raises:
        ClocksDisagree: they are more than MOST_APART apart.
    """
    databases, hosts = database_now(), timezone.now()
    if abs(databases - hosts) > MOST_APART:
        raise ClocksDisagree(
            f"The database's clock says {databases:%Y-%m-%d %H:%M} UTC, this host's "
            f"{hosts:%Y-%m-%d %H:%M} UTC. Nothing is swept or purged while they are more than an "
            "hour apart."
        )
    return databases
