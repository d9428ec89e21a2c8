"""How the console writes moments and durations."""

from datetime import datetime

from django import template
from django.utils.html import format_html

from tasks.engine import words

register = template.Library()

register.filter("duration", words.duration)


@register.filter
def moment(time: datetime | None) -> str:
    """Return a moment by the site's clock; a script adds the reader's own as a hint."""
    if time is None:
        return ""
    shown = words.moment(time)
    return format_html('<time class="moment" datetime="{}">{}</time>', time.isoformat(), shown)
