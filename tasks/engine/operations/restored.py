"""What a database needs that was restored from a backup, before any process works on it."""

from collections.abc import Iterator
from datetime import datetime

from django.apps import apps
from django.db import connection, transaction
from django.db.models import BigAutoField
from dramatiq.errors import ActorNotFound

from tasks.engine.models import Schedule
from tasks.engine.scheduler.claims import skip_missed

RESTORED = "Missed: the database was restored from a backup."

#: How many ids are left out in each table. Rows that were written after the backup had some of
#: them, which may stand in mails, in logs and in people's browsers.
IDS_LEFT_OUT = 1_000_000


def skip_slots_since_backup() -> Iterator[tuple[Schedule, list[datetime]]]:
    """Skip what the schedules missed between the backup and now; yield each with those slots.

    Otherwise the scheduler would catch the latest ones up at once, such as the cleanup that the
    database was restored to undo.
    """
    for schedule in Schedule.objects.active().in_order():
        try:
            slots = skip_missed(schedule.pk, RESTORED)
        except (ActorNotFound, ValueError):
            continue  # Its schedule cannot be used: no scheduler claims its slots, either.
        if slots:
            yield schedule, slots


def leave_out_ids() -> int:
    """Have new rows begin with ids that no row had after the backup; return in how many tables.

    Raises:
        ProgrammingError: on PostgreSQL, only the owner of the tables may do this.
    """
    tables = [
        (model._meta.db_table, model._meta.pk.column)
        for model in apps.get_models(include_auto_created=True)
        if isinstance(model._meta.pk, BigAutoField) and model._meta.managed
    ]
    with transaction.atomic(), connection.cursor() as cursor:
        for table, column in tables:
            if connection.vendor == "postgresql":
                sequence = "pg_get_serial_sequence(quote_ident(%s), %s)"
                cursor.execute(
                    f"SELECT setval({sequence}, nextval({sequence}) + %s)",
                    [table, column, table, column, IDS_LEFT_OUT],
                )
            else:
                cursor.execute(
                    "UPDATE sqlite_sequence SET seq = seq + %s WHERE name = %s",
                    [IDS_LEFT_OUT, table],
                )
    return len(tables)
