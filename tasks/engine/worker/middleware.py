"""What Dramatiq calls around each message: the hooks that record runs, and retries.

Dramatiq builds its broker while Django is still loading its apps, so models must not be imported
here; `attempts.py` does the work. If a hook raises anything but SkipMessage, Dramatiq only logs it.
"""

from functools import cached_property
from typing import TYPE_CHECKING, Any

from dramatiq import Broker, MessageProxy, Middleware, Worker
from dramatiq.errors import ActorNotFound
from dramatiq.middleware import Retries
from redis.exceptions import RedisError

if TYPE_CHECKING:
    from tasks.engine.worker.attempts import Attempts


def is_recorded(broker: Broker, actor_name: str) -> bool:
    """Say whether an actor's attempts are recorded; false if this process does not know the actor.

    With `recorded=False` only the end is recorded, and only if the message has a run, as those of
    schedules and operators have.
    """
    try:
        return bool(broker.get_actor(actor_name).options.get("recorded", True))
    except ActorNotFound:
        return False


class RunLedger(Middleware):
    """Starts an attempt at a message's run before its actor, and records its end afterwards.

    Options of actors:
        recorded: False to record no attempts (see `is_recorded`).
        check: called with the arguments before a run is created; raises ValueError to refuse it.
        permission: what staff need to start the task (`tasks/engine/operations/permissions.py`).
        extension: what the engine cannot know about the task (`tasks/engine/extension.py`).
    """

    @property
    def actor_options(self) -> set[str]:
        return {"recorded", "check", "permission", "extension"}

    @cached_property
    def _attempts(self) -> "Attempts":
        from tasks.engine.worker.attempts import Attempts  # noqa: PLC0415  (see the module)

        return Attempts()

    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:
        self._attempts.start(
            queues=worker.consumer_whitelist or broker.get_declared_queues(),
            tasks=broker.get_declared_actors(),
        )

    def after_worker_boot(self, broker: Broker, worker: Worker) -> None:  # noqa: ARG002
        self._attempts.watch(worker)

    def before_worker_shutdown(self, broker: Broker, worker: Worker) -> None:  # noqa: ARG002
        self._attempts.shut_down()

    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:  # noqa: ARG002
        self._attempts.stop()

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
        if not message.failed and is_recorded(broker, message.actor_name):
            self._attempts.open(message)

    def after_process_message(
        self,
        broker: Broker,
        message: MessageProxy,
        *,
        result: Any | None = None,
        exception: BaseException | None = None,
    ) -> None:
        if is_recorded(broker, message.actor_name):
            self._attempts.close(broker, message, result=result, exception=exception)
        elif not message.failed:
            self._attempts.close_unrecorded(message, result=result, exception=exception)

    def before_nack(self, broker: Broker, message: MessageProxy) -> None:
        if message.actor_name not in broker.get_declared_actors():
            self._attempts.give_back(message)


class UnrecordedRetries(Retries):
    """Dramatiq's retries, for actors that are not recorded; the engine retries the others.

    Dramatiq's wait in a queue of their own, and are lost if the broker is away when they come due.
    """

    def after_process_message(self, broker: Broker, message: MessageProxy, **outcome: Any) -> None:
        """Send a failed message again; with the broker away it becomes a dead letter instead."""
        if is_recorded(broker, message.actor_name):
            return
        try:
            super().after_process_message(broker, message, **outcome)
        except RedisError:
            message.fail()
