"""The names of tasks in messages."""

from enum import StrEnum


class TaskName(StrEnum):
    """Which task a message asks for.

    A name never changes: messages of an earlier version may still wait in a queue. The function of
    an actor is called as its task, with an underscore.
    """

    # The engine's own, as `tasks/engine/actors.py` names them.
    PING = "ping"
    RUNS_PRUNE = "runs.prune"
    RUNS_RETRY = "runs.retry"
    RUNS_CANCEL = "runs.cancel"
    RUNS_ACKNOWLEDGE = "runs.acknowledge"

    TODO_CLEANUP = "todo.cleanup"
    TODO_PURGE = "todo.purge"
    TODO_RESTORE = "todo.restore"
    TODO_RECEIPTS = "todo.receipts"

    SESSIONS_CLEAR = "sessions.clear"

    REQUESTS_PRUNE = "requests.prune"
