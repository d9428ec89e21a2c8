"""One pass of a relay that has been in contact with the database for a long time."""

from tasks.engine.database import database_now
from tasks.engine.liveness import Contact
from tasks.engine.models import Process
from tasks.engine.models.process import liveness
from tasks.engine.scheduler.relay import Relay


def long_contact() -> Contact:
    """Return a contact that has been there for a long time, without a break until just now."""
    contact = Contact()
    now = database_now()
    contact.note(now)
    contact._since = now - 100 * liveness()  # noqa: SLF001
    return contact


def relay() -> None:
    """Make one pass, by a relay that has seen before who is silent."""
    relay = Relay(long_contact())
    for process in Process.objects.all():
        relay._silent[process.pk] = float("-inf")  # noqa: SLF001
    relay.run()
