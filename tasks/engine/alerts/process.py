"""The part of a scheduler that alerts: looks every few seconds, and delivers what is to be told.

In threads of their own, one for each kind of channel: a mail server that is slow delays no claim
of a slot, and no webhook.
"""

from collections.abc import Collection, Sequence
from threading import Event, Thread
from time import monotonic
from typing import Self, override
from uuid import uuid4

import structlog

from tasks.engine.alerts import episodes
from tasks.engine.alerts.channels import Channel, channels_of
from tasks.engine.alerts.check_ins import check_in
from tasks.engine.alerts.episodes import advance
from tasks.engine.alerts.exchange import NotDelivered
from tasks.engine.alerts.looking import Look, failed_look, look
from tasks.engine.alerts.outbox import CHECK_IN, claim, claimed, keep_only, kind_of, settle
from tasks.engine.alerts.settings import AlertSettings
from tasks.engine.alerts.state import Delivery, Message, State
from tasks.engine.alerts.store import SharedState

logger = structlog.get_logger(__name__)

#: How often a channel that fails is logged, and how often looks that fail are.
LOG_SECONDS = 60.0

#: How long the process waits at its end for an attempt in hand, which would be repeated otherwise.
LAST_ATTEMPT_SECONDS = 3.0

#: A claim that is so old when the attempt begins may run out during it: this process was frozen.
LATEST_START_SECONDS = 20.0


class Alerts:
    """A context manager around a scheduler's work; it does nothing without a channel."""

    def __init__(self) -> None:
        self._settings = AlertSettings.read()
        self._channels = channels_of(self._settings)
        self._state = SharedState()
        self._stopped = Event()
        kinds = dict.fromkeys(kind_of(channel.name) for channel in self._channels)
        self._logged = float("-inf")
        self._looking = Thread(target=self._keep_looking, name="alerts", daemon=True)
        self._couriers = [
            Courier([c for c in self._channels if kind_of(c.name) == kind], self._state)
            for kind in kinds
        ]

    def __enter__(self) -> Self:
        if self._channels:
            for courier in self._couriers:
                courier.start()
            self._looking.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for courier in self._couriers:
            courier.stop()
        ends = monotonic() + LAST_ATTEMPT_SECONDS
        for thread in (self._looking, *self._couriers) if self._channels else ():
            thread.join(max(0.0, ends - monotonic()))

    def look(self) -> None:
        """Look once, and have delivered what is due."""
        tasks = self._settings.check_in_tasks if self._settings.check_in_url else ()
        found = self._find(tasks)
        self._state.database_answers = found.database_answers
        names = [channel.name for channel in self._channels]
        for_alerts = [name for name in names if name != CHECK_IN]

        def change(state: State, now: float) -> None:
            keep_only(state, names)
            if found.problems or state.episode or state.seen:  # Else there is nothing to note.
                advance(state, found.problems, now=now, channels=for_alerts)
            check_in(state, found.succeeded, tasks, now=now)

        state = self._state.change(change)
        for courier in self._couriers:
            courier.wake(state)

    def _find(self, tasks: Collection[str]) -> Look:
        try:
            return look(tasks)
        except Exception as error:  # noqa: BLE001  (it is logged, and told)
            self._log_failure(error)
            return failed_look(error)

    def _log_failure(self, error: Exception) -> None:
        if monotonic() - self._logged >= LOG_SECONDS:
            self._logged = monotonic()
            logger.error("alerts failed", exc_info=error)

    def _keep_looking(self) -> None:
        pause = episodes.LOOK_SECONDS
        while not self._stopped.wait(pause):
            begun = monotonic()
            try:
                self.look()
            except Exception as error:  # noqa: BLE001  (it is logged; the next look may succeed)
                self._log_failure(error)
            pause = max(0.0, episodes.LOOK_SECONDS - (monotonic() - begun))


class Courier(Thread):
    """Delivers what channels of one kind are to deliver, in a thread."""

    def __init__(self, channels: Sequence[Channel], state: SharedState) -> None:
        super().__init__(name=f"alerts by {kind_of(channels[0].name)}", daemon=True)
        self._channels = {channel.name: channel for channel in channels}
        self._state = state
        self._awake = Event()
        self._ended = Event()
        self._logged = float("-inf")

    def wake(self, state: State) -> None:
        """Have it look for what is due, if anything waits for its channels."""
        if any(each.channel in self._channels for each in state.deliveries):
            self._awake.set()

    def stop(self) -> None:
        """Have it end after the attempt in hand."""
        self._ended.set()
        self._awake.set()

    @override
    def run(self) -> None:
        """Deliver whenever there is something, until told to stop."""
        while not self._ended.is_set():
            self._awake.wait()
            self._awake.clear()
            try:
                while not self._ended.is_set() and self.deliver_next():
                    pass
            except Exception:
                logger.exception("alerts failed", by=self.name)

    def deliver_next(self) -> bool:
        """Try to deliver the next message that is due; say whether there was one."""
        token, begun = uuid4().hex, monotonic()
        state = self._state.change(
            lambda state, now: claim(state, list(self._channels), token=token, now=now)
        )
        delivery = claimed(state, token)
        if delivery is None:
            return False
        if monotonic() - begun > LATEST_START_SECONDS:
            return True  # Another process may have claimed it by now.
        failure = self._attempt(delivery, state.messages[delivery.message])
        state = self._state.change(
            lambda state, now: settle(state, token=token, failure=failure, now=now)
        )
        self._log(delivery, failure, state)
        return True

    def _attempt(self, delivery: Delivery, message: Message) -> str:
        """Try once; return why it failed, empty if it did not."""
        try:
            self._channels[delivery.channel].deliver(message)
        except NotDelivered as error:
            return str(error)
        except Exception as error:
            logger.exception("alerts failed", by=self.name)
            return type(error).__name__
        return ""

    def _log(self, delivery: Delivery, failure: str, state: State) -> None:
        what = {"by": kind_of(delivery.channel), "message": delivery.message}
        if not failure:
            logger.info("alert delivered", **what)
        elif not any(
            (each.message, each.channel) == (delivery.message, delivery.channel)
            for each in state.deliveries
        ):
            logger.error("alert given up", reason=failure, **what)
        elif monotonic() - self._logged >= LOG_SECONDS:
            self._logged = monotonic()
            logger.error(
                "alert not delivered", reason=failure, failures=delivery.failures + 1, **what
            )
