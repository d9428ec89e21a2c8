"""The states of a run, and what may start one."""

from django.db import models


class State(models.TextChoices):
    #: Created; the relay publishes it when it is due.
    PENDING = "pending"
    #: Published to the broker.
    QUEUED = "queued"
    #: An attempt has started.
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    #: A slot that was not run.
    SKIPPED = "skipped"


UNFINISHED = (State.PENDING, State.QUEUED, State.RUNNING)


class Trigger(models.TextChoices):
    SCHEDULE = "schedule"
    ADMIN = "admin"
    COMMAND = "command"
    API = "api", "Code"
