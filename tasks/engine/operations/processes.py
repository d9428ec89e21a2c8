"""Asks workers to finish and leave."""

from django.contrib.auth.base_user import AbstractBaseUser

from tasks.engine.models import Process, ProcessKind
from tasks.engine.operations.errors import Refused


def request_leave(process: Process, *, by: AbstractBaseUser) -> list[Process]:
    """Ask a worker to take nothing more, finish what it has in hand, and leave.

    The processes that the same command has started leave with it.

    Returns:
        All of them.

    Raises:
        Refused: it is not a worker, it does not heed requests, or it was asked before.
    """
    if process.kind != ProcessKind.WORKER or process.command_pid is None:
        raise Refused(f"The {process} cannot be asked to leave.")
    together = Process.objects.workers_of_command(process)
    if not together.request_leave(by=by.pk):
        raise Refused(f"The {process} was asked before, or has left.")
    return list(together.order_by("pid"))
