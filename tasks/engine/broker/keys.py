"""Dramatiq's keys in Redis."""

from dataclasses import dataclass
from uuid import UUID

from dramatiq.common import dq_name

#: Message ids in one exchange with the server.
IDS_PER_EXCHANGE = 500


@dataclass(frozen=True)
class QueueKeys:
    """The keys of one queue; the name of its delay queue ends with `.DQ`."""

    namespace: str
    queue: str

    @property
    def waiting(self) -> str:
        """A list: the ids of messages that no worker has fetched."""
        return f"{self.namespace}:{self.queue}"

    @property
    def messages(self) -> str:
        """A hash from ids to messages, of those that wait and those that were fetched."""
        return f"{self.waiting}.msgs"

    @property
    def delayed_messages(self) -> str:
        """The same hash of the delay queue."""
        return QueueKeys(self.namespace, dq_name(self.queue)).messages

    @property
    def dead(self) -> str:
        """A sorted set: the ids of dead letters, by when they died (ms since the epoch)."""
        return f"{self.waiting}.XQ"

    @property
    def dead_messages(self) -> str:
        """A hash from ids to messages, of the dead letters."""
        return f"{self.dead}.msgs"

    @property
    def wake(self) -> str:
        """A channel on which the queue's consumers are woken; ours, not Dramatiq's."""
        return f"{self.waiting}.wake"

    def fetched_by(self, client_id: str) -> str:
        """Return the key of a set: the ids that a client has fetched and not acknowledged."""
        return f"{acks_key(self.namespace)}.{client_id}.{self.queue}"


def acks_key(namespace: str) -> str:
    """Return the start of the keys that `fetched_by` returns."""
    return f"{namespace}:__acks__"


def heartbeats_key(namespace: str) -> str:
    """Return the key of a sorted set: clients, by their last sign of life (ms since the epoch)."""
    return f"{namespace}:__heartbeats__"


def probe_key(namespace: str) -> str:
    """Return the key that is written to see whether the broker accepts writes."""
    return f"{namespace}:__probe__"


def presence_key(namespace: str, process: UUID | None = None) -> str:
    """Return the key of a process that is there; without one, of when the first one was."""
    return f"{namespace}:__presence__" + (f".{process}" if process else "")


def alerts_key(namespace: str) -> str:
    """Return the key of the copy of the alerts' state; ours, not Dramatiq's."""
    return f"{namespace}:__alerts__"
