"""What Dramatiq calls around each message: the ledger's hooks, and retries.

Dramatiq builds its broker while Django is still loading its apps, so models must not be imported
here; `attempts.py` does the work. A hook that raises anything but SkipMessage is only logged.
"""

from functools import cached_property
from typing import TYPE_CHECKING, Any

from dramatiq import Broker, MessageProxy, Middleware, Worker
from dramatiq.errors import ActorNotFound
from dramatiq.middleware import Retries
from redis.exceptions import RedisError

if TYPE_CHECKING:
    from tasks.engine.worker.attempts import WorkerLedger


def is_recorded(broker: Broker, actor_name: str) -> bool:
    """Say whether an actor's runs are recorded; one that this process does not know has none.

    An actor with `recorded=False` has no attempts or retries kept: if a schedule asked for it, its
    run is closed when it has returned or failed. That is the system's pulse.
    """
    try:
        return bool(broker.get_actor(actor_name).options.get("recorded", True))
    except ActorNotFound:
        return False


class RunLedger(Middleware):
    """Has the ledger open a message's run before its actor, and close it afterwards."""

    @property
    def actor_options(self) -> set[str]:
        """The options that actors may have for us.

        `recorded`: see `is_recorded`. `check`: called with the arguments of a run before it is
        owed, it raises ValueError where one is out of bounds. `permission`: what staff need to
        start it (`tasks/engine/operations/permissions.py`). `extension`: a `TaskExtension`
        (`tasks/engine/extension.py`).
        """
        return {"recorded", "check", "permission", "extension"}

    @cached_property
    def _ledger(self) -> "WorkerLedger":
        from tasks.engine.worker.attempts import WorkerLedger  # noqa: PLC0415  (see the module)

        return WorkerLedger()

    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:
        """Say that this worker is there."""
        self._ledger.enter(
            queues=worker.consumer_whitelist or broker.get_declared_queues(),
            tasks=broker.get_declared_actors(),
        )

    def before_worker_shutdown(self, broker: Broker, worker: Worker) -> None:  # noqa: ARG002
        """Have runs stop at their next step."""
        self._ledger.stop()

    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:  # noqa: ARG002
        """Say that this worker is gone."""
        self._ledger.leave()

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
        """Take the message's run up.

        Raises:
            SkipMessage: it is finished, or another process is at it.
        """
        if not message.failed and is_recorded(broker, message.actor_name):
            self._ledger.open(message)

    def after_process_message(
        self,
        broker: Broker,
        message: MessageProxy,
        *,
        result: Any | None = None,
        exception: BaseException | None = None,
    ) -> None:
        """Write how it ended."""
        if is_recorded(broker, message.actor_name):
            self._ledger.close(broker, message, result=result, exception=exception)
        elif not message.failed:
            self._ledger.close_unrecorded(message, result=result, exception=exception)

    def before_nack(self, broker: Broker, message: MessageProxy) -> None:
        """Leave a message that this process has no actor for to one that has."""
        if message.actor_name not in broker.get_declared_actors():
            self._ledger.give_back(message)


class UnrecordedRetries(Retries):
    """Dramatiq's retries, for actors that are not recorded; the ledger retries the others.

    Dramatiq's wait in a queue of their own, and are lost when the broker is away as they come due.
    """

    def after_process_message(
        self,
        broker: Broker,
        message: MessageProxy,
        *,
        result: Any | None = None,
        exception: BaseException | None = None,
    ) -> None:
        """Send a failed message again; with the broker away it becomes a dead letter instead."""
        if is_recorded(broker, message.actor_name):
            return
        try:
            super().after_process_message(broker, message, result=result, exception=exception)
        except RedisError:
            message.fail()
