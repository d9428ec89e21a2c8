"""Gives back what a thread may not begin: its queue is paused, or the process is to leave."""

from typing import cast

from dramatiq import MessageProxy

from tasks.engine.broker.consumer import FetchedMessage
from tasks.engine.broker.waking import current_broker
from tasks.engine.models import Queue


class NotTaken(Exception):  # noqa: N818  (it is no error)
    """This process takes nothing from a queue now."""


def check_taken(queue: str) -> None:
    """Raise NotTaken if nothing may be begun that comes from a queue.

    Raises:
        OperationalError, InterfaceError: the database is away.
    """
    intake = current_broker().intake
    if Queue.objects.paused().filter(name=queue).exists():
        intake.note_paused(queue)
    if not intake.takes_from(queue):
        raise NotTaken(f"nothing is taken from the queue {queue} now")


def give_back(message: MessageProxy) -> None:
    """Have a message go back to its queue when Dramatiq acknowledges it."""
    cast("FetchedMessage", message).given_back = True
