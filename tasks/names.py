"""The names that background tasks go by on the wire."""

from enum import StrEnum


class TaskName(StrEnum):
    """What a message asks for.

    A name is for ever: messages of an older version may still wait in a queue. The actor's function
    is its name with an underscore.
    """

    PING = "ping"
    TODO_CLEANUP = "todo.cleanup"
    TODO_PURGE = "todo.purge"
    TODO_RESTORE = "todo.restore"
    RUNS_PRUNE = "runs.prune"
