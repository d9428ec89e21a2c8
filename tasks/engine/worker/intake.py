"""Gives back what a thread may not begin: its queue is paused, or the process is to leave."""

from typing import cast

from dramatiq import MessageProxy

from tasks.engine.broker.consumer import FetchedMessage
from tasks.engine.broker.waking import current_broker
from tasks.engine.models import Queue


class NotTaken(Exception):  # noqa: N818  (it is no error)
    """This process takes nothing from a queue now."""


def check_taken(queue: str) -> None:
    """Raise NotTaken if this process knows that it takes nothing from a queue."""
    if not current_broker().intake.takes_from(queue):
        raise NotTaken(f"nothing is taken from the queue {queue} now")


def check_paused(queue: str) -> None:
    """Ask whether a queue is paused; if so, note that, and raise NotTaken.

    Raises:
        OperationalError, InterfaceError: the database is away.
    """
    if Queue.objects.paused().filter(name=queue).exists():
        current_broker().intake.note_paused(queue)
        raise NotTaken(f"the queue {queue} is paused")


def give_back(message: MessageProxy) -> None:
    """Have a message go back to its queue when Dramatiq acknowledges it."""
    cast("FetchedMessage", message).given_back = True
