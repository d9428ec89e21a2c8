"""Saves a run's progress in one handwritten UPDATE.

A bulk operation makes one for every batch, and Django takes longer to build the statement than the
database takes to execute it.
"""

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import connection, models

SAVE_PROGRESS = """
    UPDATE tasks_taskrun
    SET state = 'running', held_by = %s, progress = %s,
        crashes = crashes * %s, error = CASE %s WHEN 0 THEN '' ELSE error END,
        losses = 0, progressed_at = {now}
    WHERE id = %s AND attempts = %s AND state IN ('pending', 'queued', 'running')
    AND stop_requested_at IS NULL AND progress = %s
"""

#: The database's clock, in the format in which Django stores a moment.
NOW = {"postgresql": "clock_timestamp()", "sqlite": "strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now')"}


def save_progress(
    run_id: int,
    attempt: int,
    progress: Mapping[str, Any],
    process: UUID,
    *,
    before: Mapping[str, Any],
) -> bool:
    """Save an attempt's progress; see `TaskRun.save_progress`."""
    # A step that makes no progress clears neither the crashes nor the error.
    unchanged = int(progress == before)
    with connection.cursor() as cursor:
        cursor.execute(
            SAVE_PROGRESS.format(now=NOW[connection.vendor]),
            [
                models.UUIDField().get_db_prep_value(process, connection),
                json.dumps(progress),
                unchanged,
                unchanged,
                run_id,
                attempt,
                json.dumps(before),
            ],
        )
        return bool(cursor.rowcount)
