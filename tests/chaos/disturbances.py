"""What goes wrong: one function for each kind, all chosen from at random."""

import os
import shutil
import signal
from collections.abc import Callable
from contextlib import suppress
from time import monotonic

import redis

from tests.chaos.stage import LIVENESS, Kept, Stage

#: How long (seconds) after an outage processes may take to be at work again.
RECOVERY = 6.0


def kill_scheduler(stage: Stage) -> None:
    """End a scheduler."""
    for kept in stage.chance.sample(stage.named("scheduler"), 1):
        send(kept.popen.pid if kept.popen else 0, signal.SIGKILL)


def kill_worker(stage: Stage) -> None:
    """End a worker's process that does the work."""
    for kept in stage.chance.sample(stage.named("worker"), 1):
        for pid in kept.children():
            send(pid, signal.SIGKILL)


def kill_master(stage: Stage) -> None:
    """End a worker's master; what it leaves behind goes with it."""
    for kept in stage.chance.sample(stage.named("worker"), 1):
        send(kept.popen.pid if kept.popen else 0, signal.SIGKILL)


def deploy_worker(stage: Stage) -> None:
    """Ask a worker to end, as a deploy does."""
    for kept in stage.chance.sample(stage.named("worker"), 1):
        send(kept.popen.pid if kept.popen else 0, signal.SIGTERM)


def freeze_scheduler(stage: Stage) -> None:
    """Hold a scheduler up for longer than it takes to be thought dead."""
    freeze(stage, stage.chance.choice(stage.named("scheduler")))
    # It may hold the lock on the schedule, for which the others wait.
    stage.excuse(1.5 * LIVENESS + RECOVERY)


def freeze_worker(stage: Stage) -> None:
    """Hold a worker up for longer than it takes to be thought dead."""
    freeze(stage, stage.chance.choice(stage.named("worker")))


def freeze(stage: Stage, kept: Kept) -> None:
    """Stop a process for half as long again as makes it count as gone."""
    for pid in kept.children():
        send(pid, signal.SIGSTOP)
        stage.frozen[pid] = monotonic() + 1.5 * LIVENESS


def kill_valkey(stage: Stage, *, wipe: bool = False) -> None:
    """End the broker for a while."""
    if not stage.valkey_back_at:
        stage.valkey.kill()
        stage.valkey.wait(10)
        if wipe:
            shutil.rmtree(stage.folder / "valkey/appendonlydir", ignore_errors=True)
        away = stage.chance.uniform(0, 5)
        stage.valkey_back_at = monotonic() + away
        # Whoever claims a slot then waits for the broker, a little.
        stage.excuse(away + RECOVERY)


def wipe_valkey(stage: Stage) -> None:
    """End the broker for a while and take everything it had."""
    kill_valkey(stage, wipe=True)


def kill_postgresql(stage: Stage) -> None:
    """End the database at once, for a while."""
    pid = stage.postgresql.get_pid()
    if pid and not stage.postgresql_back_at:
        send(pid, signal.SIGQUIT)
        away = stage.chance.uniform(0.5, 5)
        stage.postgresql_back_at = monotonic() + away
        stage.excuse(away + RECOVERY)


def delete_messages(stage: Stage) -> None:
    """Take some of what the broker holds."""
    client = redis.Redis(unix_socket_path=str(stage.folder / "valkey/valkey.sock"))
    with suppress(redis.RedisError):
        keys = [key.decode() for key in client.scan_iter("dramatiq:*default*")]
        keys += [key.decode() for key in client.scan_iter("dramatiq:__acks__.*")]
        for key in stage.chance.sample(keys, min(2, len(keys))):
            client.delete(key)
    client.close()


def send(pid: int, signum: signal.Signals) -> None:
    """Send a signal to a process, which may have ended at this moment."""
    if pid:
        with suppress(ProcessLookupError):
            os.kill(pid, signum)


#: Each with how often it is chosen beside the others.
DISTURBANCES: dict[Callable[[Stage], None], int] = {
    kill_scheduler: 3,
    kill_worker: 4,
    kill_master: 2,
    deploy_worker: 2,
    freeze_scheduler: 1,
    freeze_worker: 2,
    kill_valkey: 2,
    wipe_valkey: 1,
    kill_postgresql: 2,
    delete_messages: 3,
}
