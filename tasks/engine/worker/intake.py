"""Gives back what a thread may not begin: its queue is paused, or the process is to leave."""

from dramatiq import MessageProxy
from redis.exceptions import RedisError

from tasks.engine.broker.messages import id_of
from tasks.engine.broker.waking import current_broker
from tasks.engine.models import Queue
from tasks.engine.outages import outages


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
    """Give a message back to its queue.

    If the broker is away it is lost, and the relay resends its run.
    """
    broker = current_broker()
    try:
        broker.do_requeue(message.queue_name, id_of(message))
    except RedisError as error:
        outages.report("broker", error)
    broker.active(message.queue_name).remove(id_of(message))
