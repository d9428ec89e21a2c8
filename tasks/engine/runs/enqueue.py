"""Creates runs, and publishes their messages.

A run is a row first, written in the caller's own transaction. Its message is published once that
has been committed. If the broker is away the run becomes pending; if the process dies in between,
the broker does not have the message. The relay publishes both (`tasks/engine/scheduler/relay.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction
from django.db.models.functions import Now
from dramatiq import Actor, Message, MessageProxy
from dramatiq.broker import get_broker
from redis.exceptions import RedisError

from tasks.engine.broker.messages import check_arguments
from tasks.engine.models import State, TaskRun, Trigger
from tasks.engine.outages import outages
from tasks.engine.runs.context import Context, given_context
from tasks.engine.tracing import tracing

#: How long a run waits for a broker that is away before it is published again.
PUBLISH_RETRY_DELAY = timedelta(seconds=2)


@dataclass(frozen=True)
class Request:
    """Who asks for a run (None if unknown), and how."""

    trigger: Trigger
    by: AbstractBaseUser | None = None

    def enqueue[**P, R](self, actor: Actor[P, R], /, *args: P.args, **kwargs: P.kwargs) -> TaskRun:
        """Create a run of `actor` with these arguments, and publish it once that is committed.

        A rollback leaves nothing. A broker that is away costs no error and less than a second: the
        message is published when the broker is back.

        Returns:
            The run; its `message()` waits for the result.

        Raises:
            TypeError: the actor takes no such arguments, or one cannot be written as JSON.
            ValueError: the actor's option `check` refuses an argument.
        """
        return self.enqueue_message(actor.message(*args, **kwargs))

    def enqueue_message(self, message: Message[Any], *, schedule_name: str = "") -> TaskRun:
        """Create the run of a message, and publish it once that is committed; see `enqueue`."""
        run = self.create(message, schedule_name=schedule_name)
        transaction.on_commit(partial(publish, run), robust=True)
        return run

    def create(
        self,
        message: Message[Any],
        *,
        scheduled_for: datetime | None = None,
        schedule_name: str = "",
    ) -> TaskRun:
        """Create the run of a message that the caller publishes once that is committed.

        Raises what `enqueue` raises.
        """
        return self.record(
            message,
            scheduled_for=scheduled_for,
            schedule_name=schedule_name,
            state=State.QUEUED,
            delivery=uuid4(),
            sends=1,
            sent_at=Now(),
        )

    def record(self, message: Message[Any], **values: Any) -> TaskRun:
        """Create only the row of a message's run; `values` are further fields of it.

        Raises what `enqueue` raises.
        """
        check_arguments(get_broker(), message)
        message.encode()
        with tracing().enqueueing(message.actor_name):
            return TaskRun.objects.create(
                task=message.actor_name,
                trigger=self.trigger,
                requested_by_id=self.by.pk if self.by else None,
                message_id=UUID(message.message_id),
                queue=message.queue_name,
                arguments=arguments(message),
                **given_context().columns,
                **values,
            )


def enqueue[**P, R](actor: Actor[P, R], /, *args: P.args, **kwargs: P.kwargs) -> TaskRun:
    """Create a run of `actor`, asked for by code; see `Request.enqueue`."""
    return Request(Trigger.API).enqueue(actor, *args, **kwargs)


def arguments(message: Message[Any] | MessageProxy) -> Mapping[str, Any]:
    """Return a message's arguments as they are stored."""
    return {"args": list(message.args), "kwargs": message.kwargs}


def send(run: TaskRun) -> bool:
    """Publish a pending run that is due.

    Returns:
        Whether it was published; otherwise another process did so, or the broker is away and the
        relay publishes it later.

    Raises:
        OperationalError, InterfaceError: the database is away.
    """
    return run.mark_sent() and publish(run)


def resend(run: TaskRun, *, lost: bool) -> bool:
    """Publish a queued run once more; `lost` if the broker has lost its message. See `send`."""
    return run.mark_resent(lost=lost) and publish(run)


def publish(run: TaskRun) -> bool:
    """Publish a run that is marked as sent; say whether the broker accepted its message.

    If not, the relay publishes it later.
    """
    options = {"delivery": str(run.delivery), **Context.of(run).options}
    message = run.message().copy(options=options)
    try:
        with tracing().publishing(run.task, run.trace_parent):
            get_broker().enqueue(message)
    except RedisError as error:
        outages.report("broker", error)
        with outages.reporting():
            run.mark_unsent(retry_in=PUBLISH_RETRY_DELAY)
        return False
    outages.resolve("broker")
    return True
