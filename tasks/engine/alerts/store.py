"""Keeps the one state that all schedulers share, while whatever may be away.

It is in the database, where a lock on its row makes each change wait for the one before. A copy is
in the broker: while the database is away, changes are made there, one after the other as well.
While both are away, each process goes on with the copy in its memory. Whoever comes back takes the
copy with the highest version.

The broker's copy is signed: who can write to the broker could have us send their messages in our
name. What is not ours there counts as absent. An older copy of ours that is put back has a lower
version, and is replaced.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from threading import Lock
from typing import Any

import structlog
from django.core.signing import BadSignature, Signer
from django.db import Error as DatabaseFailure
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeout

from tasks.engine.alerts.deadline import within
from tasks.engine.alerts.state import State
from tasks.engine.broker.keys import alerts_key
from tasks.engine.broker.waking import current_broker
from tasks.engine.database import database_now, short_transaction
from tasks.engine.models import AlertState

logger = structlog.get_logger(__name__)

#: For one change in the database.
CHANGE_SECONDS = 10.0

#: How often the broker is asked before it counts as away: its client does not wait for long.
BROKER_ATTEMPTS = 4

#: How long the broker keeps its copy after the last change.
COPY_SECONDS = 7 * 24 * 60 * 60

#: Nothing else that is signed with the site's key counts as a copy.
SALT = "tasks.engine.alerts"

#: Changes a state, at a moment (seconds since the epoch).
type Change = Callable[[State, float], None]


class SharedState:
    """The state, as one process sees it; several threads may use it.

    Attributes:
        database_answers: cleared while it does not, so that no change waits for it in vain.
    """

    def __init__(self) -> None:
        self.database_answers = True
        self._own = State().dump()
        #: The database's clock less this machine's, in seconds.
        self._ahead = 0.0
        self._lock = Lock()

    def change(self, change: Change) -> State:
        """Change the state where that is possible; return it.

        `change` may be called more than once, each time with another copy.
        """
        with self._lock:
            changed = self._change(change)
            self._own = changed.dump()
            return changed

    def _change(self, change: Change) -> State:
        if self.database_answers:
            copy = copy_in_broker()  # Not in the transaction, for which others wait.
            try:
                changed = within(CHANGE_SECONDS, lambda: self._change_in_database(change, copy))
            except (DatabaseFailure, TimeoutError):
                self.database_answers = False
            else:
                copy_to_broker(changed)
                return changed
        return self._change_elsewhere(change)

    def _change_in_database(self, change: Change, copy: State) -> State:
        if not AlertState.objects.exists():
            AlertState.objects.bulk_create([AlertState()], ignore_conflicts=True)
        with short_transaction(wait_for_disk=True):
            row = AlertState.objects.select_for_update().get()
            now = database_now().timestamp()
            self._ahead = now - time.time()
            stored = row.content
            changed = self._changed(change, now, state_of(stored), copy)
            if (content := changed.dump()) != stored:
                AlertState.objects.update(content=content)
        return changed

    def _change_elsewhere(self, change: Change) -> State:
        now = time.time() + self._ahead
        try:
            return change_in_broker(lambda stored: self._changed(change, now, stored))
        except RedisError:
            return self._changed(change, now)

    def _changed(self, change: Change, now: float, *stored: State) -> State:
        """Change the latest of some copies and this process's own."""
        latest = max((*stored, State.load(self._own)), key=lambda state: state.version)
        before = latest.dump()
        change(latest, now)
        if latest.dump() != before:
            latest.version += 1
        return latest


def state_of(content: str) -> State:
    """Return what the database holds; a blank one if that cannot be read: people must be told."""
    try:
        return State.parse(content) if content else State()
    except ValueError:
        logger.error("alerts cannot read their state in the database and replace it")  # noqa: TRY400
        return State()


def sign(state: State) -> str:
    """Return a copy for the broker."""
    return Signer(salt=SALT).sign(state.dump())


def copy_of(stored: Any) -> State:
    """Return what `sign` has written; a blank one for anything else."""
    try:
        return State.load(Signer(salt=SALT).unsign(stored.decode())) if stored else State()
    except (BadSignature, UnicodeDecodeError):
        return State()


def copy_in_broker() -> State:
    """Return the broker's copy; a blank one if it is away."""
    broker = current_broker()
    key = alerts_key(broker.namespace)
    try:
        return copy_of(try_often(lambda: broker.short_timeout_client.get(key)))
    except RedisError:
        return State()


def copy_to_broker(state: State) -> None:
    """Have the broker keep a copy, unless it has a later one or is away."""
    try:
        change_in_broker(lambda stored: max(stored, state, key=lambda s: s.version))
    except RedisError:
        return


def change_in_broker(change: Callable[[State], State]) -> State:
    """Replace the broker's copy by what `change` makes of it; return that.

    Raises:
        redis.RedisError: the broker is away.
    """
    broker = current_broker()
    key = alerts_key(broker.namespace)
    changed = State()

    def step(pipe: Any) -> None:
        nonlocal changed
        stored = None
        with suppress(ResponseError):  # A list, for instance: it is replaced, too.
            stored = pipe.get(key)
        changed = change(copy_of(stored))
        pipe.multi()
        if (content := sign(changed).encode()) != stored:
            pipe.set(key, content, ex=COPY_SECONDS)

    try_often(lambda: broker.short_timeout_client.transaction(step, key))
    return changed


def try_often[R](do: Callable[[], R]) -> R:
    """Use the broker; one that is merely slow is not away.

    Raises:
        redis.RedisError: it is.
    """
    for _ in range(BROKER_ATTEMPTS - 1):
        with suppress(RedisTimeout):
            return do()
    return do()
