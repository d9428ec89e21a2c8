"""The mail of a receipt: plain text, in its reader's language and time zone."""

import email.message
import email.policy
import re
from datetime import datetime, timedelta
from email.policy import Policy
from typing import override

from django.conf import settings
from django.core.mail import EmailMessage
from django.db.models import Count, Max, Min
from django.template.loader import render_to_string
from django.utils import timezone, translation

from todos.day_words import day_words, is_last_night
from todos.models import TrashedTodo, TrashedTodoQuerySet
from todos.receipts.links import message_id, trash_link, unsubscribe_link
from todos.receipts.models import Receipt

#: Titles in one mail. Further todos are only counted.
MOST_TITLES = 50

#: Control characters, the ends of lines, surrogates, and what changes the direction of writing.
HARMFUL = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]+"
)


#: Characters in one line of a mail, by RFC 5322.
LONGEST_LINE = 998


class Letter(EmailMessage):
    """A mail whose headers are one line each.

    Folded at 78 characters, the address in List-Unsubscribe would become an encoded word, which
    mail programs do not read.
    """

    @override
    def message(self, *, policy: Policy | None = None) -> email.message.EmailMessage:
        policy = (policy or email.policy.default).clone(max_line_length=LONGEST_LINE)
        return super().message(policy=policy)


def mail_of(receipt: Receipt, *, now: datetime) -> EmailMessage | None:
    """Return the mail of a receipt; None if all that it tells of is back, or gone for good.

    Args:
        receipt: with its user, whose address the mail goes to.
        now: when it is sent.
    """
    todos = still_in_trash(receipt)
    numbers = todos.aggregate(
        count=Count("pk"),
        first=Min("trashed_at"),
        last=Max("trashed_at"),
        days=Min("trash_days"),
        first_run=Min("run_id"),
        last_run=Max("run_id"),
    )
    if not numbers["count"]:
        return None
    reader = receipt.user
    language = reader.language or settings.LANGUAGE_CODE
    only_run = numbers["last_run"] if numbers["first_run"] == numbers["last_run"] else None
    with translation.override(language), timezone.override(reader.zone):
        count, titles = numbers["count"], titles_of(todos) if reader.receipt_titles else []
        context = {
            "count": count,
            "titles": titles,
            "more": count - len(titles) if titles else 0,
            **when(numbers["first"], numbers["last"], now=now),
            "kept_until": kept_until(numbers["first"], numbers["days"], now=now),
            "trash": trash_link(only_run),
            "unsubscribe": unsubscribe_link(reader),
        }
        subject = render_to_string("todos/mail/receipt_subject.txt", context)
        body = render_to_string("todos/mail/receipt.txt", context)
    return Letter(
        subject=" ".join(subject.split()),
        body=body,
        from_email=settings.DEFAULT_FROM_EMAIL,
        to=[reader.email],
        headers={
            "Message-ID": message_id(receipt),
            "Auto-Submitted": "auto-generated",
            "List-Unsubscribe": f"<{unsubscribe_link(reader)}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        },
    )


def still_in_trash(receipt: Receipt) -> TrashedTodoQuerySet:
    """Return what a receipt tells of, without what has been brought back or purged meanwhile."""
    # They may have ended their receipts while this one waited, and asked for them anew.
    since = max(receipt.since, receipt.user.receipt_since or receipt.since)
    window = TrashedTodo.objects.swept_between(since, receipt.until)
    return window.filter(user=receipt.user_id)


def titles_of(todos: TrashedTodoQuerySet) -> list[str]:
    """Return the first titles, each in one line that no mail program obeys."""
    titles = todos.order_by("trashed_at", "pk").values_list("title", flat=True)[:MOST_TITLES]
    return [" ".join(HARMFUL.sub(" ", title).split()) for title in titles]


def when(first: datetime, last: datetime, *, now: datetime) -> dict[str, object]:
    """Return when todos were swept, for the templates: from the first to the last of them.

    It is said as the reader's day and night are when the mail is sent, which may be days later.
    """
    days = {timezone.localdate(first), timezone.localdate(last)}
    return {
        "last_night": is_last_night(first, now=now) and is_last_night(last, now=now),
        "one_day": len(days) == 1,
        "day": day_words(min(days), now=now),
    }


def kept_until(first: datetime, days: int, *, now: datetime) -> str:
    """Return until what day all of the todos stay in the trash, as `rules.past_promise` says."""
    end = first + timedelta(days=max(days, settings.TODO_TRASH_DAYS))
    return day_words(timezone.localdate(end), now=now)
