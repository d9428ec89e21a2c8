"""An audit of its own, which triggers in the database keep: what moved where, in whose step.

Every row that comes or goes is noted with the transaction that did it, and so is every change of a
run. A step of a run changes both in one transaction, which says what moved because of which run
without believing anything that Tidy's code wrote.
"""

from dataclasses import dataclass

import psycopg

from tests.counting import number

#: Stamps that are further (seconds) from the database's clock are by another one.
TOLERANCE_SECONDS = 60

TRIGGERS = """
CREATE TABLE audit_todo (
    seq bigserial, at timestamptz NOT NULL DEFAULT clock_timestamp(),
    tx xid8 NOT NULL DEFAULT pg_current_xact_id(),
    place text NOT NULL, change int NOT NULL, id bigint NOT NULL, user_id bigint NOT NULL,
    run_id bigint, completed_at timestamptz, restored_at timestamptz, stamp timestamptz
);
CREATE TABLE audit_run (
    seq bigserial, at timestamptz NOT NULL DEFAULT clock_timestamp(),
    tx xid8 NOT NULL DEFAULT pg_current_xact_id(),
    run_id bigint NOT NULL, task text NOT NULL, state text NOT NULL, due_at timestamptz NOT NULL,
    attempts int NOT NULL, crashes int NOT NULL,
    progressed boolean NOT NULL, crashed boolean NOT NULL
);
CREATE INDEX ON audit_run (run_id, seq);
CREATE TABLE audit_user (
    tx xid8 NOT NULL DEFAULT pg_current_xact_id(), user_id bigint NOT NULL
);
CREATE TABLE audit_completion (
    at timestamptz NOT NULL DEFAULT clock_timestamp(), stamp timestamptz NOT NULL
);

CREATE FUNCTION audit_list() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO audit_todo (place, change, id, user_id, completed_at, restored_at, stamp)
    SELECT 'list', CASE TG_OP WHEN 'INSERT' THEN 1 ELSE -1 END,
        id, user_id, completed_at, restored_at, CASE TG_OP WHEN 'INSERT' THEN restored_at END
    FROM moved ORDER BY id;
    RETURN NULL;
END $$;
CREATE FUNCTION audit_trash() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO audit_todo (place, change, id, user_id, run_id, completed_at, restored_at, stamp)
    SELECT 'trash', CASE TG_OP WHEN 'INSERT' THEN 1 ELSE -1 END,
        id, user_id, run_id, completed_at, restored_at, CASE TG_OP WHEN 'INSERT' THEN trashed_at END
    FROM moved ORDER BY id;
    RETURN NULL;
END $$;
CREATE FUNCTION audit_taskrun() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO audit_run (run_id, task, state, due_at, attempts, crashes, progressed, crashed)
    VALUES (NEW.id, NEW.task, NEW.state, NEW.due_at, NEW.attempts, NEW.crashes,
        TG_OP = 'INSERT' OR NEW.progress IS DISTINCT FROM OLD.progress
            OR NEW.finished_at IS NOT NULL,
        TG_OP = 'UPDATE' AND NEW.crashes > OLD.crashes);
    RETURN NULL;
END $$;
CREATE FUNCTION audit_leaving() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO audit_user (user_id) VALUES (OLD.id);
    RETURN NULL;
END $$;
CREATE FUNCTION audit_completing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO audit_completion (stamp) VALUES (NEW.completed_at);
    RETURN NULL;
END $$;

CREATE TRIGGER audit_in AFTER INSERT ON todos_todo REFERENCING NEW TABLE AS moved
    FOR EACH STATEMENT EXECUTE FUNCTION audit_list();
CREATE TRIGGER audit_out AFTER DELETE ON todos_todo REFERENCING OLD TABLE AS moved
    FOR EACH STATEMENT EXECUTE FUNCTION audit_list();
CREATE TRIGGER audit_in AFTER INSERT ON todos_trashedtodo REFERENCING NEW TABLE AS moved
    FOR EACH STATEMENT EXECUTE FUNCTION audit_trash();
CREATE TRIGGER audit_out AFTER DELETE ON todos_trashedtodo REFERENCING OLD TABLE AS moved
    FOR EACH STATEMENT EXECUTE FUNCTION audit_trash();
CREATE TRIGGER audit_run AFTER INSERT OR UPDATE ON tasks_taskrun
    FOR EACH ROW EXECUTE FUNCTION audit_taskrun();
CREATE TRIGGER audit_leaving AFTER DELETE ON accounts_user
    FOR EACH ROW EXECUTE FUNCTION audit_leaving();
CREATE TRIGGER audit_completing AFTER UPDATE OF completed_at ON todos_todo FOR EACH ROW
    WHEN (OLD.completed_at IS NULL AND NEW.completed_at IS NOT NULL)
    EXECUTE FUNCTION audit_completing();
"""

#: What the checks ask for again and again, made once when everything has ended.
SUMMARIES = """
CREATE TABLE audit_step AS SELECT DISTINCT run_id, tx FROM audit_run;
CREATE INDEX ON audit_step (tx);
CREATE TABLE audit_moved AS
    SELECT tx,
        count(*) FILTER (WHERE place = 'list' AND change = 1) AS listed,
        count(*) FILTER (WHERE place = 'list' AND change = -1) AS unlisted,
        count(*) FILTER (WHERE place = 'trash' AND change = 1) AS trashed,
        count(*) FILTER (WHERE place = 'trash' AND change = -1) AS untrashed
    FROM audit_todo GROUP BY tx;
CREATE TABLE audit_of_run AS
    SELECT run.id, run.task, run.state,
        coalesce(CASE run.state
            WHEN 'succeeded' THEN coalesce(result->>'todos_deleted', result->>'todos_restored',
                result->>'todos_purged')
            ELSE progress->>'rows'
        END, '0')::int AS counted,
        coalesce(sum(trashed), 0) AS trashed,
        coalesce(sum(unlisted), 0) AS unlisted,
        coalesce(sum(listed), 0) AS listed,
        coalesce(sum(untrashed), 0) AS untrashed
    FROM tasks_taskrun AS run
    LEFT JOIN audit_step AS step ON step.run_id = run.id
    LEFT JOIN audit_moved AS moved ON moved.tx = step.tx
    WHERE run.task LIKE 'todo.%' GROUP BY run.id;
CREATE TABLE audit_place AS
    SELECT id, sum(change) AS places, (array_agg(tx ORDER BY seq DESC))[1] AS last_tx
    FROM audit_todo GROUP BY id;
ANALYZE audit_step, audit_moved, audit_of_run, audit_place;
"""

#: Runs whose own counts are not the triggers', by task.
#: Columns: id, task, state; what the run counted; what came into the trash, left the list, came
#: onto the list and left the trash in its steps.
WRONG_COUNTS = {
    "cleanups whose count is wrong": """
        SELECT audit_of_run.* FROM audit_of_run WHERE task = 'todo.cleanup'
        AND NOT (counted = trashed AND trashed = unlisted AND listed + untrashed = 0)
    """,
    "restores whose count is wrong": """
        SELECT audit_of_run.* FROM audit_of_run WHERE task = 'todo.restore'
        AND NOT (counted = listed AND listed = untrashed AND trashed + unlisted = 0)
    """,
    "purges whose count is wrong": """
        SELECT audit_of_run.* FROM audit_of_run WHERE task = 'todo.purge'
        AND NOT (counted = untrashed AND listed + trashed + unlisted = 0)
    """,
    "cleanups with todos of others under their name": """
        SELECT audit_of_run.*, named.* FROM audit_of_run
        FULL JOIN (
            SELECT run_id, count(*) FROM audit_todo
            WHERE place = 'trash' AND change = 1 AND run_id IS NOT NULL GROUP BY run_id
        ) AS named (id, todos) ON named.id = audit_of_run.id
        WHERE coalesce(named.todos, 0) != coalesce(trashed, 0)
    """,
}

#: Todos that are not where they belong.
WRONG_TODOS = {
    "todos gone for good, by no purge and no account's deletion": """
        SELECT id FROM audit_place WHERE places < 1 AND last_tx NOT IN (
            SELECT tx FROM audit_step JOIN tasks_taskrun ON tasks_taskrun.id = run_id
            WHERE task = 'todo.purge'
        ) AND last_tx NOT IN (SELECT tx FROM audit_user)
    """,
    "todos in more than one place": "SELECT id FROM audit_place WHERE places > 1",
    "todos in the trash of people who left": """
        SELECT id FROM todos_trashedtodo WHERE user_id IN (SELECT user_id FROM audit_user)
    """,
    "todos swept that were not due": """
        SELECT audit_todo.id FROM audit_todo JOIN audit_step USING (tx)
        JOIN tasks_taskrun AS run ON run.id = audit_step.run_id AND task = 'todo.cleanup'
        WHERE place = 'trash' AND change = 1 AND (
            audit_todo.completed_at IS NULL
            OR audit_todo.completed_at >= coalesce(scheduled_for, run.created_at)
            OR restored_at > coalesce(scheduled_for, run.created_at) - interval '7 days'
        )
    """,
}

_OFF = f"abs(extract(epoch FROM at - stamp)) > {TOLERANCE_SECONDS}"

#: Moments that the database's clock did not give.
WRONG_STAMPS = {
    "trashed_at by another clock": f"place = 'trash' AND change = 1 AND {_OFF}",
    "restored_at by another clock": f"place = 'list' AND change = 1 AND {_OFF}",
}


def begin_audit(database: psycopg.Connection) -> None:
    """Note every change from here on; the tables must be there, and empty."""
    database.execute(TRIGGERS.encode())


@dataclass(frozen=True)
class Audit:
    """What the audit says.

    Attributes:
        wrong: how many of what should not be.
        examples: some of them.
        facts: what was counted besides.
    """

    wrong: dict[str, int]
    examples: dict[str, list[str]]
    facts: dict[str, int]


def check_audit(database: psycopg.Connection) -> Audit:
    """Hold every run's counts, and every todo's place, against the audit."""
    database.execute(SUMMARIES.encode())
    wrong, examples = {}, {}
    for name, query in (WRONG_COUNTS | WRONG_TODOS).items():
        rows = database.execute(query.encode()).fetchall()
        wrong[name] = len(rows)
        if rows:
            examples[name] = [" ".join(map(str, row)) for row in rows[:5]]
    for name, condition in WRONG_STAMPS.items():
        wrong[name] = number(database, f"SELECT count(*) FROM audit_todo WHERE {condition}")
    wrong["completed_at by another clock"] = number(
        database, f"SELECT count(*) FROM audit_completion WHERE {_OFF}"
    )
    wrong["rows that the audit does not know"] = abs(
        number(database, "SELECT sum(places) FROM audit_place")
        - number(database, "SELECT count(*) FROM todos_todo")
        - number(database, "SELECT count(*) FROM todos_trashedtodo")
    )
    counted = "SELECT count(*) FROM audit_of_run WHERE task = 'todo.{}' AND state = '{}'"
    of_runs = {
        f"{task}s {state}": number(database, counted.format(task, state))
        for task in ("cleanup", "restore", "purge")
        for state in ("succeeded", "cancelled")
    }
    facts = {
        "todos that came or went": number(database, "SELECT count(*) FROM audit_todo"),
        "todos swept": number(
            database, "SELECT sum(trashed) FROM audit_of_run WHERE task = 'todo.cleanup'"
        ),
        "todos restored by runs": number(
            database, "SELECT sum(listed) FROM audit_of_run WHERE task = 'todo.restore'"
        ),
        "todos purged": number(
            database, "SELECT sum(untrashed) FROM audit_of_run WHERE task = 'todo.purge'"
        ),
        "people who left": number(database, "SELECT count(*) FROM audit_user"),
        "runs whose counts were checked": number(database, "SELECT count(*) FROM audit_of_run"),
        **of_runs,
    }
    return Audit(wrong, examples, facts)
