"""How the console writes moments and durations."""

from datetime import datetime

from django import template
from django.utils.html import format_html

from tasks.engine.monitoring.problems import shown

register = template.Library()

#: A duration is told in the largest unit of which it has two.
UNITS = (("d", 24 * 60 * 60), ("h", 60 * 60), ("min", 60))

#: Seconds of which tenths are of no interest.
ROUND_FROM = 10


@register.filter
def moment(time: datetime | None) -> str:
    """Return a moment by the site's clock; a script shows the reader their own beside it."""
    if time is None:
        return ""
    return format_html(
        '<time class="moment" datetime="{}">{}</time>', time.isoformat(), shown(time)
    )


@register.filter
def duration(seconds: float | None) -> str:
    """Return how long something takes; empty if that is not known."""
    if seconds is None:
        return ""
    for unit, length in UNITS:
        if seconds >= 2 * length:
            return f"{seconds / length:,.0f} {unit}"
    return f"{seconds:.0f} s" if seconds == 0 or seconds >= ROUND_FROM else f"{seconds:.1f} s"
