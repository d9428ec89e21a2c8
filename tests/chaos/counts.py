"""Counts what became of everything, with queries that know nothing of Tidy's code."""

import psycopg

from tests.chaos.audit import check_audit
from tests.chaos.outcome import Outcome
from tests.chaos.poison import count_poison
from tests.chaos.stage import Stage
from tests.chaos.verdicts import SERIOUS, SILENCE_ALLOWED_SECONDS, STUCK_SECONDS, Verdicts
from tests.counting import (
    effects_too_many,
    number,
    runs_without_their_effect,
    slots_without_a_row,
)

#: How long before what happened for no reason faults are told of.
LOOK_BACK_SECONDS = 30

#: While one of these is wrong, and a little longer, no slot need be claimed in time.
EXCUSES = (
    "database away",
    "broker away",
    "scheduler frozen",
    "all schedulers frozen",
    "schedule held",
    "network slow",  # A claim takes longer than a second.
)

SCHEDULERS = ("scheduler0 ended", "scheduler1 ended", "scheduler2 ended")

RUNS = "SELECT count(*) FROM tasks_taskrun WHERE"

#: A sweep of more slices than a broker may lose a run's messages.
MANY_SLICES = 20

#: Completed todos that the last cleanup should have removed, but for those who have another rule.
LEFT = """
    SELECT count(*) FROM todos_todo AS todo JOIN accounts_user AS owner ON owner.id = user_id
    WHERE completed_at < (SELECT max(created_at) FROM tasks_taskrun WHERE task = 'todo.cleanup')
    AND is_active AND auto_cleanup AND keep_completed_days IS NULL AND restored_at IS NULL
"""

#: Each crash that a run was charged with: which run, when its attempt began, and when it was. An
#: attempt begins with its first row: whoever asks it to stop leaves another that gets no further.
CRASHES = """
    SELECT crash.run_id,
        extract(epoch FROM (
            SELECT min(started.at) FROM audit_run AS started
            WHERE started.run_id = crash.run_id AND started.seq < crash.seq
            AND started.state = 'running' AND started.attempts = crash.attempts
            AND NOT started.progressed
        )),
        extract(epoch FROM crash.at)
    FROM audit_run AS crash WHERE crashed
"""

#: From when to when a run did not progress, if for long.
STANDSTILLS = f"""
    SELECT extract(epoch FROM since), extract(epoch FROM until) FROM (
        SELECT greatest(at, due_at) AS since,
            coalesce(
                lead(at) OVER (PARTITION BY run_id ORDER BY seq),
                CASE WHEN state IN ('pending', 'queued', 'running') THEN clock_timestamp() END
            ) AS until
        FROM audit_run WHERE progressed
    ) AS gap WHERE until - since > interval '{STUCK_SECONDS} seconds'
"""

#: From when to when a run that failed was known to no operator.
FAILURES = """
    SELECT extract(epoch FROM finished_at),
        extract(epoch FROM coalesce(acknowledged_at, clock_timestamp()))
    FROM tasks_taskrun WHERE state = 'failed'
"""


def count(stage: Stage, database: psycopg.Connection, verdicts: Verdicts, outcome: Outcome) -> None:
    """Count everything."""
    audit = check_audit(database)
    poison_facts, poison_wrong = count_poison(database)
    outcome.facts = {**facts(stage, database), **poison_facts, **audit.facts}
    outcome.examples = audit.examples
    outcome.failures = failures(database)
    outcome.lost |= {
        "slots without a row": slots_without_a_row(database),
        "slots missed without an excuse": missed_without_excuse(stage, database, outcome),
        "runs without their effect": runs_without_their_effect(database),
        "runs that failed": number(database, f"{RUNS} state = 'failed' AND task != 'poison'"),
        "todos that were left": number(database, LEFT),
        **poison_wrong,
        **audit.wrong,
    }
    charged = charged_with_crashes(stage, database, outcome)
    outcome.doubled |= {
        "effects too many": effects_too_many(database),
        "slots run as if sent by hand": number(
            database, f"{RUNS} task = 'count' AND scheduled_for IS NULL"
        ),
        "attempts lost though only the database was away": charged[True],
        "attempts lost though nothing was wrong": charged[False],
    }
    outcome.stuck["recoveries that took too long"] = outcome.recoveries.too_long
    outcome.silent |= silences(stage, database, verdicts)
    outcome.facts |= {
        "verdicts": len(verdicts.given),
        "verdicts that all is well": sum(verdict.is_well for verdict in verdicts.given),
    }


def facts(stage: Stage, database: psycopg.Connection) -> dict[str, int]:
    """Count what happened, for the reader to see how much that was."""
    count_runs = f"{RUNS} task = 'count'"
    return {
        "slots": number(database, count_runs),
        "slots that ran": number(database, f"{count_runs} AND state = 'succeeded'"),
        "slots skipped: the run before was unfinished": number(
            database, f"{count_runs} AND reason LIKE 'The run of%'"
        ),
        "slots skipped: missed": number(database, f"{count_runs} AND reason LIKE 'Missed%'"),
        "crashes that runs were charged with": number(
            database, "SELECT count(*) FROM audit_run WHERE crashed"
        ),
        "active runs in an outage of the database": active_runs(stage, database),
        "messages sent again": number(
            database, f"SELECT sum(greatest(sends - attempts, 0)) FROM ({ALL_RUNS}) AS run"
        ),
        **stage.facts(),
        f"sweeps of more than {MANY_SLICES} slices": number(
            database, f"{RUNS} task = 'todo.cleanup' AND attempts > {MANY_SLICES}"
        ),
    }


ALL_RUNS = "SELECT * FROM tasks_taskrun"


def active_runs(stage: Stage, database: psycopg.Connection) -> int:
    """Count the runs that were running at the beginning of a long outage of the database."""
    outages = [fault for fault in stage.faults.all if fault.kind == "database away"]
    return sum(
        number(
            database,
            f"SELECT count(*) FROM (SELECT DISTINCT ON (run_id) state FROM audit_run"
            f" WHERE at < to_timestamp({fault.began}) ORDER BY run_id, seq DESC) AS last"
            " WHERE state = 'running'",
        )
        for fault in outages
        if (fault.ended or fault.began) - fault.began > SILENCE_ALLOWED_SECONDS
    )


def missed_without_excuse(stage: Stage, database: psycopg.Connection, outcome: Outcome) -> int:
    """Count the missed slots that came while database, broker and schedulers were there."""
    rows = database.execute(
        "SELECT extract(epoch FROM scheduled_for) FROM tasks_taskrun"
        " WHERE task = 'count' AND reason LIKE 'Missed%' ORDER BY scheduled_for"
    ).fetchall()
    missed = [float(slot) for (slot,) in rows if not is_excused(stage, float(slot))]
    if missed:
        outcome.examples["slots missed"] = [
            f"that of {slot:.0f}; wrong until then: {wrong_before(stage, slot)}" for slot in missed
        ]
    return len(missed)


def wrong_before(stage: Stage, moment: float) -> str:
    """Say what was wrong shortly before a moment, and when."""
    return ", ".join(
        f"{fault.kind} from {fault.began - moment:.1f} s"
        + (f" to {fault.ended - moment:.1f} s" if fault.ended else "")
        for fault in stage.faults.between(moment - LOOK_BACK_SECONDS, moment)
    )


def is_excused(stage: Stage, slot: float) -> bool:
    """Say whether nobody could claim a slot in time."""
    between, grace = stage.faults.between, stage.grace_seconds
    if between(slot - 1, slot + 1, kinds=EXCUSES, grace=grace):
        return True
    ended = between(slot - 1, slot + 1, kinds=SCHEDULERS, grace=grace)
    return {fault.kind for fault in ended} == set(SCHEDULERS)


def charged_with_crashes(
    stage: Stage, database: psycopg.Connection, outcome: Outcome
) -> dict[bool, int]:
    """Count the crashes that runs were charged with, and that no process's end explains.

    Returns:
        By whether the database was away meanwhile, and nothing else was wrong.
    """
    charged = {True: 0, False: 0}
    for run, since, at in database.execute(CRASHES).fetchall():
        began, ended = float(since or at) - 1, float(at)
        faults = stage.faults.between(began, ended)
        if all(fault.kind == "database away" for fault in faults):
            charged[bool(faults)] += 1
            outcome.examples.setdefault("attempts lost", []).append(
                f"run {run}, {ended - began - 1:.1f} s after it was started; wrong until then: "
                + wrong_before(stage, ended)
            )
    return charged


def silences(stage: Stage, database: psycopg.Connection, verdicts: Verdicts) -> dict[str, int]:
    """Count the answers "All well." that were wrong, by what they kept silent about."""
    counted = {}
    for kind in SERIOUS:
        counted[f'"All well." with {kind}'] = sum(
            len(verdicts.silent_about(fault.began + SILENCE_ALLOWED_SECONDS, fault.ended))
            for fault in stage.faults.all
            if fault.kind == kind and fault.ended
        )
    for name, query, allowed in (
        ("a run that did not progress for a minute", STANDSTILLS, STUCK_SECONDS),
        ("a failure that nobody has acknowledged", FAILURES, SILENCE_ALLOWED_SECONDS),
    ):
        counted[f'"All well." with {name}'] = len(
            {
                verdict
                for start, end in database.execute(query.encode()).fetchall()
                for verdict in verdicts.silent_about(float(start) + allowed, float(end))
            }
        )
    return counted


def failures(database: psycopg.Connection) -> list[str]:
    """Return the last lines of the errors of runs that should not have failed, each once."""
    rows = database.execute(
        "SELECT task, error FROM tasks_taskrun WHERE state = 'failed' AND task != 'poison'"
    )
    return sorted({f"{task}: {(error.strip().splitlines() or [''])[-1]}" for task, error in rows})
