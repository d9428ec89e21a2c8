"""What goes wrong: one function for each kind.

Those of a storm are chosen from at random, many at a time. Those that come alone last longer than
anything in Tidy waits, and nothing else is wrong meanwhile.
"""

import os
import shutil
import signal
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from uuid import uuid4

import psycopg
import redis

from tests.chaos.poison import send_poison
from tests.chaos.stage import LIVENESS_SECONDS, Kept, OneHost, Stage
from tests.processes import wait_until

#: Longer (seconds) than any time-out of Tidy's on this stage.
LONG = 3 * LIVENESS_SECONDS

#: Replies with fetched messages that are lost at a time.
LOST_REPLIES = 3


def kill_scheduler(stage: Stage) -> None:
    """End a scheduler."""
    for kept in stage.chance.sample(stage.named("scheduler"), 1):
        end(stage, kept, [kept.popen.pid if kept.popen else 0])


def kill_worker(stage: Stage) -> None:
    """End a worker's process that does the work."""
    for kept in stage.chance.sample(stage.named("worker"), 1):
        end(stage, kept, kept.children())


def kill_master(stage: Stage) -> None:
    """End a worker's master; what it leaves behind goes with it."""
    for kept in stage.chance.sample(stage.named("worker"), 1):
        end(stage, kept, [kept.popen.pid if kept.popen else 0])


def kill_several(stage: Stage) -> None:
    """End a scheduler and two workers at once."""
    kill_scheduler(stage)
    for kept in stage.chance.sample(stage.named("worker"), min(2, len(stage.named("worker")))):
        end(stage, kept, kept.children())


def deploy_worker(stage: Stage) -> None:
    """Ask a worker to end, as a deploy does."""
    for kept in stage.chance.sample(stage.named("worker"), 1):
        end(stage, kept, [kept.popen.pid if kept.popen else 0], signal.SIGTERM)


def end(stage: Stage, kept: Kept, pids: list[int], signum: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal to processes of one that is kept, and note that it is gone until it is back."""
    kept.fault = kept.fault or stage.faults.begin(f"{kept.name} ended")
    send_all(pids, signum)


def freeze_scheduler(stage: Stage) -> None:
    """Hold a scheduler up for longer than it takes to be thought dead.

    It may hold the lock on the schedule, for which the others wait.
    """
    freeze(stage, "scheduler frozen", [stage.chance.choice(stage.named("scheduler"))])


def freeze_worker(stage: Stage) -> None:
    """Hold a worker up for longer than it takes to be thought dead."""
    freeze(stage, "worker frozen", [stage.chance.choice(stage.named("worker"))])


def freeze_all_workers(stage: Stage) -> None:
    """Hold up all workers at once."""
    freeze_all(stage, "worker")


def freeze_all_schedulers(stage: Stage) -> None:
    """Hold up all schedulers at once."""
    freeze_all(stage, "scheduler")


def freeze(stage: Stage, kind: str, frozen: list[Kept]) -> None:
    """Stop processes for a while."""
    pids = [pid for kept in frozen for pid in kept.children()]
    send_all(pids, signal.SIGSTOP)
    stage.hold(kind, 1.5 * LIVENESS_SECONDS, lambda: send_all(pids, signal.SIGCONT))


def freeze_all(stage: Stage, prefix: str) -> None:
    """Stop all processes of a kind for long, and who would start others in their place.

    One of them may have ended just now: when it is started again, not all are frozen any more.
    """
    parents = {kept.popen.pid for kept in stage.named(prefix) if kept.popen}
    pids = [*parents, *(pid for kept in stage.named(prefix) for pid in kept.children())]
    send_all(pids, signal.SIGSTOP)

    def is_over() -> bool:
        return any(kept.popen and kept.popen.pid not in parents for kept in stage.named(prefix))

    mend = partial(send_all, pids, signal.SIGCONT)
    stage.hold(f"all {prefix}s frozen", LONG, mend, is_over=is_over)


def kill_valkey(stage: OneHost, *, wipe: bool = False, seconds: float | None = None) -> None:
    """End the broker for a while."""
    if stage.is_held("broker away"):
        return
    stage.valkey.kill()
    stage.valkey.wait(10)
    if wipe:
        shutil.rmtree(stage.folder / "valkey/appendonlydir", ignore_errors=True)
    stage.hold("broker away", seconds or stage.chance.uniform(0, 5), stage.start_valkey)


def wipe_valkey(stage: OneHost) -> None:
    """End the broker for a while and take everything it had."""
    kill_valkey(stage, wipe=True)


def broker_away(stage: OneHost) -> None:
    """End the broker for long."""
    kill_valkey(stage, seconds=LONG)


def kill_postgresql(stage: OneHost, *, seconds: float | None = None) -> None:
    """End the database at once, for a while."""
    pid = stage.postgresql.get_pid()
    if pid and not stage.is_held("database away"):
        send_all([pid], signal.SIGQUIT)
        # One that is about to end would be taken for one that runs.
        says_it_runs = stage.folder / "postgresql/postmaster.pid"
        wait_until(
            lambda: not says_it_runs.exists(),
            seconds=10,
            otherwise=lambda: "PostgreSQL does not end",
        )
        stage.hold(
            "database away",
            seconds or stage.chance.uniform(0.5, 5),
            stage.postgresql.ensure_postgres_running,
        )


def database_away(stage: OneHost) -> None:
    """End the database for longer than the liveness."""
    kill_postgresql(stage, seconds=LONG)


def delete_messages(stage: Stage) -> None:
    """Take some of what the broker holds."""
    stage.faults.begin("messages deleted").end()
    with stage.broker() as client, suppress(redis.RedisError):
        keys = [key.decode() for key in client.scan_iter("dramatiq:*default*")]
        keys += [key.decode() for key in client.scan_iter("dramatiq:__acks__.*")]
        for key in stage.chance.sample(keys, min(2, len(keys))):
            client.delete(key)


def lose_fetched(stage: OneHost) -> None:
    """Lose the next replies in which workers are given messages."""
    if stage.is_held("replies lost"):
        return
    lost = stage.proxy.lost + LOST_REPLIES
    stage.proxy.cut_next_fetch_reply(LOST_REPLIES)
    stage.hold("replies lost", LONG, lambda: None, is_over=lambda: stage.proxy.lost >= lost)


def put_garbage(stage: Stage) -> None:
    """Put what is no message into a queue, among those that are."""
    stage.faults.begin("garbage").end()
    with stage.broker() as client, suppress(redis.RedisError):
        for rubbish in (b"\x80\x81 no JSON", b"[1, 2", b'{"queue_name": "default"}', b"null"):
            name = str(uuid4())
            client.hset("dramatiq:default.msgs", name, rubbish)
            client.rpush("dramatiq:default", name)


def forget_todo(stage: Stage) -> None:
    """Forget a transaction that holds some todos which the sweep wants."""
    forget(
        stage,
        "todos held",
        "SELECT FROM todos_todo WHERE completed_at IS NOT NULL AND restored_at IS NULL"
        " ORDER BY id DESC LIMIT 3 FOR UPDATE",
    )


def forget_run(stage: Stage) -> None:
    """Forget a transaction that holds the row of a running cleanup."""
    forget(
        stage,
        "run held",
        "SELECT FROM tasks_taskrun WHERE task = 'todo.cleanup' AND finished_at IS NULL FOR UPDATE",
    )


def forget_schedule(stage: Stage) -> None:
    """Forget a transaction that holds the row of the busiest schedule."""
    forget(stage, "schedule held", "SELECT FROM tasks_schedule WHERE task = 'count' FOR UPDATE")


def forget(stage: Stage, kind: str, lock: str) -> None:
    """Take locks in a transaction that idles for longer than all time-outs."""
    if stage.is_held(kind):
        return
    with suppress(psycopg.OperationalError):  # The database is away.
        database = stage.connect()
        database.execute("SET idle_in_transaction_session_timeout = 0")
        database.execute("BEGIN")
        database.execute(lock.encode())
        stage.hold(kind, LONG, database.close)


def poison(stage: Stage) -> None:
    """Send runs that kill their process, among others that do not."""
    send_poison(stage)


def send_all(pids: list[int], signum: signal.Signals) -> None:
    """Send a signal to processes, each of which may have ended at this moment."""
    for pid in filter(None, pids):
        with suppress(ProcessLookupError):
            os.kill(pid, signum)


type Disturbance = Callable[[OneHost], None]

#: Each with how often it is chosen beside the others.
STORM: dict[Disturbance, int] = {
    kill_scheduler: 4,
    kill_worker: 6,
    kill_master: 3,
    kill_several: 4,
    deploy_worker: 2,
    freeze_scheduler: 1,
    freeze_worker: 2,
    kill_valkey: 2,
    wipe_valkey: 1,
    kill_postgresql: 2,
    delete_messages: 3,
    lose_fetched: 2,
    put_garbage: 1,
    forget_todo: 1,
}

#: How many processes or servers each of them kills.
KILLS: dict[str, int] = {
    "kill_scheduler": 1,
    "kill_worker": 1,
    "kill_master": 1,
    "kill_several": 3,
    "kill_valkey": 1,
    "wipe_valkey": 1,
    "kill_postgresql": 1,
    "database_away": 1,
    "broker_away": 1,
}

#: Those that come alone, one after the other.
ALONE: tuple[Disturbance, ...] = (
    database_away,
    freeze_worker,
    lose_fetched,
    freeze_all_workers,
    forget_todo,
    put_garbage,
    forget_run,
    broker_away,
    forget_schedule,
    freeze_all_schedulers,
    poison,
)
