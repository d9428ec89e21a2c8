"""The channels of alerts that fail: nobody is told of that in any other way."""

from tasks.engine.alerts.channels import channels_of
from tasks.engine.alerts.outbox import Undelivered, undelivered
from tasks.engine.alerts.settings import AlertSettings
from tasks.engine.alerts.state import State
from tasks.engine.models import AlertState


def read_undelivered() -> tuple[Undelivered, ...]:
    """Return those of the channels in the settings whose messages wait after several failures."""
    names = [channel.name for channel in channels_of(AlertSettings.read())]
    if not names:
        return ()
    content = AlertState.objects.values_list("content", flat=True).first() or ""
    return tuple(each for each in undelivered(State.load(content)) if each.channel in names)
