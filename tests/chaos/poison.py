"""Sends runs that kill the process they are at, and others that happen to be beside them."""

from contextlib import suppress
from uuid import uuid4

import psycopg

from tests.chaos.stage import Stage
from tests.counting import number

#: How many of each come together.
ALWAYS, ONCE, BYSTANDERS = 1, 1, 12

#: Written as the ledger would write it, so that the relay sends it.
INSERT = """
    INSERT INTO tasks_taskrun (task, trigger, message_id, queue, arguments, state, sends, attempts,
        failures, crashes, progress, error, reason)
    VALUES (%s, 'api', %s, 'default', %s, 'pending', 0, 0, 0, 0, '{}', '', '')
"""

#: How long (seconds) it may take until all of them have ended.
TIMEOUT_SECONDS = 180.0

UNFINISHED = """
    SELECT count(*) FROM tasks_taskrun
    WHERE task IN ('poison', 'bystander') AND finished_at IS NULL
"""


def send_poison(stage: Stage) -> None:
    """Send some of each; it is over when all of them have ended."""
    if stage.is_held("poison"):
        return
    runs = [("poison", '{"kwargs": {"once": false}}')] * ALWAYS
    runs += [("poison", '{"kwargs": {"once": true}}')] * ONCE
    runs += [("bystander", "{}")] * BYSTANDERS
    stage.chance.shuffle(runs)
    with suppress(psycopg.OperationalError), stage.connect() as database:
        for task, arguments in runs:
            database.execute(INSERT, [task, uuid4(), arguments])
        stage.hold(
            "poison",
            TIMEOUT_SECONDS,
            lambda: None,
            is_over=lambda: stage.ask(UNFINISHED) == 0,
        )


def count_poison(database: psycopg.Connection) -> tuple[dict[str, int], dict[str, int]]:
    """Return facts of these runs, and what of them is wrong."""
    runs = "SELECT count(*) FROM tasks_taskrun WHERE task = '{}' AND {}"
    always = 'arguments @> \'{"kwargs": {"once": false}}\''
    facts = {
        "poison runs that failed": number(database, runs.format("poison", "state = 'failed'")),
        "bystanders": number(database, runs.format("bystander", "TRUE")),
    }
    wrong = {
        "bystanders of poison that failed": number(
            database, runs.format("bystander", "state != 'succeeded'")
        ),
        "runs failed that killed their process once": number(
            database,
            runs.format("poison", f"NOT {always} AND state != 'succeeded'"),
        ),
        "runs not failed that always kill their process": number(
            database, runs.format("poison", f"{always} AND state != 'failed'")
        ),
    }
    return facts, wrong
