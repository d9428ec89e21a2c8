"""How long completed todos stay: what a person can choose, and what each choice takes tonight."""

import re
from datetime import datetime

from django.conf import settings
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import MAX_KEEP_COMPLETED_DAYS, Preferences, User
from todos.leaving import when
from todos.services import TodoService

#: As the site does, and never; a number stands for so many days.
SITE, EVER = "site", "ever"

A_NUMBER = re.compile("[0-9]{1,4}")

#: The keep times (days) that everyone is offered.
OFFERED_DAYS = (0, 7, 30, 90)


def kept_by(user: User) -> str:
    """Return the choice that a person has made."""
    if not user.auto_cleanup:
        return EVER
    days = user.keep_completed_days
    return SITE if days is None else str(days)


def is_choice(value: str) -> bool:
    """Say whether a form may post this: a number need not be on offer, such as an earlier one."""
    if value in {SITE, EVER}:
        return True
    return bool(A_NUMBER.fullmatch(value)) and int(value) <= MAX_KEEP_COMPLETED_DAYS


def as_preferences(value: str) -> Preferences:
    """Return what a choice means for a person's preferences.

    "For ever" leaves the number as it is, so that it is still there to be chosen again.
    """
    if value == EVER:
        return {"auto_cleanup": False}
    return {"auto_cleanup": True, "keep_completed_days": None if value == SITE else int(value)}


def keep_choices(user: User, *, cleanup: datetime | None) -> list[tuple[str, str]]:
    """Return a person's choices: what a form posts, and its label with what the cleanup takes.

    Args:
        user: whose they are; a number of theirs that is not on offer has a choice of its own.
        cleanup: when the next cleanup is due; None while it is paused, which takes nothing.
    """
    site_days, own = settings.TODO_KEEP_COMPLETED_DAYS, user.keep_completed_days
    numbers = sorted({*OFFERED_DAYS, *([] if own is None else [own])})
    choices = [
        (SITE, _site_label(site_days), site_days),
        *((str(days), _label(days), days) for days in numbers),
    ]
    if cleanup is None:
        return [*((value, label) for value, label, _days in choices), (EVER, _ever_label())]
    counts = TodoService.preview_keep_times(
        user=user, keep_days={site_days, *numbers}, as_of=cleanup
    )
    return [
        *((value, _with_preview(label, counts[days], cleanup)) for value, label, days in choices),
        (EVER, _with_preview(_ever_label(), 0, cleanup)),
    ]


def meaning(value: str) -> str:
    """Return what a choice means from now on, as a sentence."""
    if value == EVER:
        return _("From now on completed todos stay for ever.")
    days = settings.TODO_KEEP_COMPLETED_DAYS if value == SITE else int(value)
    if days == 0:
        return _("From now on completed todos leave with the next cleanup.")
    return ngettext(
        "From now on completed todos leave after %(days)s day.",
        "From now on completed todos leave after %(days)s days.",
        days,
    ) % {"days": number_format(days)}


def _label(days: int) -> str:
    if days == 0:
        return _("They leave with the next cleanup")
    return ngettext("They leave after %(days)s day", "They leave after %(days)s days", days) % {
        "days": number_format(days)
    }


def _site_label(days: int) -> str:
    if days == 0:
        return _("As this site has it: they leave with the next cleanup")
    return ngettext(
        "As this site has it: they leave after %(days)s day",
        "As this site has it: they leave after %(days)s days",
        days,
    ) % {"days": number_format(days)}


def _ever_label() -> str:
    return _("They stay for ever")


def _with_preview(label: str, count: int, cleanup: datetime) -> str:
    return format_html('{} <span class="preview">{}</span>', label, _takes(count, cleanup))


def _takes(count: int, cleanup: datetime) -> str:
    """Say when the next cleanup runs, and how many todos it takes."""
    said = when(cleanup, now=timezone.now())
    if count == 0:
        return _("%(when)s this takes nothing") % {"when": said}
    return ngettext(
        "%(when)s this takes %(count)s todo", "%(when)s this takes %(count)s todos", count
    ) % {"when": said, "count": number_format(count, force_grouping=True)}
