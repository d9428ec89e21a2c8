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
    """Return a moment by the reader's clock, with the site's as a hint if that differs.

    Of a reader whose time zone is not known the site's is shown; a script hints at the browser's.
    """
    if time is None:
        return ""
    shown, of_site = words.moment(time), words.moment_of_site(time)
    hint = "" if shown == of_site else format_html(' title="The site\'s time: {}"', of_site)
    return format_html(
        '<time class="moment" datetime="{}"{}>{}</time>', time.isoformat(), hint, shown
    )
