"""Keeps Dramatiq from logging an outage of the broker again and again: `outages` logs it once."""

import logging

from dramatiq import Broker, Middleware
from dramatiq.worker import ConsumerThread

#: How Dramatiq's lines begin that each consumer repeats while the broker is away.
REPEATED = (
    "Consumer encountered a connection error",
    "Restarting consumer in",
    "Failed to post_process_message",
)


class QuietOutages(Middleware):
    """Leaves these lines out of the log; the consumer has reported the outage."""

    def after_consumer_thread_boot(self, broker: Broker, thread: ConsumerThread) -> None:  # noqa: ARG002
        thread.logger.addFilter(is_told)


def is_told(record: logging.LogRecord) -> bool:
    """Say whether a line of a consumer's is logged."""
    return not str(record.msg).startswith(REPEATED)
