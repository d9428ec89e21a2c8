"""How the console writes moments and durations."""

from datetime import datetime

from django import template
from django.utils.html import format_html

from tasks.engine import words
from tasks.engine.monitoring.failures import shown_error

register = template.Library()
register.filter(shown_error)
register.filter(words.duration)
register.filter(words.ago)


@register.filter
def moment(time: datetime | None) -> str:
    """Return a moment by the site's clock; a script adds the reader's own as a hint."""
    if time is None:
        return ""
    shown = words.moment(time)
    return format_html('<time class="moment" datetime="{}">{}</time>', time.isoformat(), shown)
