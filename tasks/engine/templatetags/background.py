"""How the console writes moments and durations, and links the runs that a text names."""

import re
from datetime import datetime

from django import template
from django.urls import reverse
from django.utils.html import conditional_escape, format_html
from django.utils.safestring import SafeString, mark_safe

from tasks.engine import words
from tasks.engine.monitoring.failures import shown_error

register = template.Library()
register.filter(shown_error)
register.filter(words.duration)
register.filter(words.ago)

#: A run that a text names, by its number.
RUN = re.compile(r"\b[Rr]un (\d{1,18})\b")


@register.filter
def run_links(text: str, prefix: object = "") -> SafeString:
    """Return a text as HTML in which the name of each run leads to its page.

    Args:
        prefix: what the ids of the links begin with, on pages that are replaced while one reads.
    """
    parts, end = [], 0
    for number, found in enumerate(RUN.finditer(text)):
        page = reverse("admin:tasks_taskrun_change", args=[int(found[1])])
        link = format_html('<a id="{}-{}" href="{}">{}</a>', prefix, number, page, found[0])
        parts += [conditional_escape(text[end : found.start()]), link]
        end = found.end()
    return mark_safe("".join([*parts, conditional_escape(text[end:])]))  # noqa: S308  (escaped)


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
