"""The rules of removal: which todos the cleanup sweeps, and which the purge deletes for good.

Each is a condition for a query. `README.md` says the same in words.
"""

from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Coalesce

from accounts.models import User
from todos.functions import DaysBefore

#: The least number of days that a restored todo stays on the list, even if it is completed.
KEEP_RESTORED_DAYS = 7


def due_for_cleanup(*, as_of: datetime, keep_days: int) -> Q:
    """Return the condition that the cleanup sweeps a todo.

    It does when the todo was completed before its owner's cutoff, and the owner is active and has
    not opted out. The cutoff is `as_of` less the owner's keep time, or less `keep_days` if they
    have none. A restored todo must also have been restored before that cutoff, and at least
    KEEP_RESTORED_DAYS ago.

    The query looks up only the few owners to whom the site's rule alone does not apply; it does not
    join other people's todos to their owners. Whatever its statistics say, PostgreSQL reads the
    todos in the order of their ids and looks up owners in hash tables of those few. A join would be
    as fast if the planner got it right, and twice as slow if not.

    Args:
        as_of: the moment that keep times are counted back from.
        keep_days: the site's keep time.
    """
    exceptions = User.objects.cleanup_exceptions().filter(pk=OuterRef("user_id"))
    with_own_rule = exceptions.taking_part().filter(keep_completed_days__isnull=False)
    over = with_own_rule.alias(cutoff=DaysBefore(as_of, "keep_completed_days")).filter(
        Q(cutoff__gt=OuterRef("completed_at")),
        # For a todo that never was in the trash, this repeats the line above.
        Q(cutoff__gt=Coalesce(OuterRef("restored_at"), OuterRef("completed_at"))),
    )
    site_rule = Q(~Exists(exceptions))
    if keep_days:
        cutoff = as_of - timedelta(days=keep_days)
        site_rule &= Q(completed_at__lt=cutoff) & restored_before(cutoff)
    # The first `Exists` spares most todos of other people the second, which looks up each.
    own_rule = Exists(with_own_rule) & Exists(over)
    restorable = restored_before(as_of - timedelta(days=KEEP_RESTORED_DAYS))
    return Q(Q(completed_at__lt=as_of), restorable, site_rule | own_rule)


def due_for_person(*, as_of: datetime, keep_days: int) -> Q:
    """Return the condition that a cleanup takes a todo of a person with this keep time.

    It says for one person what `due_for_cleanup` says for all.
    """
    cutoff = as_of - timedelta(days=keep_days)
    restored = as_of - timedelta(days=max(keep_days, KEEP_RESTORED_DAYS))
    return Q(completed_at__lt=cutoff) & restored_before(restored)


def kept_until(*, completed_at: datetime, restored_at: datetime | None, keep_days: int) -> datetime:
    """Return until when a completed todo stays: a cleanup for a later moment takes it."""
    kept = completed_at + timedelta(days=keep_days)
    if restored_at is None:
        return kept
    return max(kept, restored_at + timedelta(days=max(keep_days, KEEP_RESTORED_DAYS)))


def restored_before(cutoff: datetime) -> Q:
    """Return the condition that a todo was restored before `cutoff`, or never."""
    return Q(restored_at__isnull=True) | Q(restored_at__lt=cutoff)


def past_promise(*, as_of: datetime, trash_days: int) -> Q:
    """Return the condition that a todo has been in the trash for as long as the site promised.

    What counts is the number of days at the time of the move, or the present one if it is higher:
    shortening the time, or switching the trash off, deletes nothing early.

    Args:
        as_of: the moment that the days are counted back from.
        trash_days: the present number of days.
    """
    # The index serves the first condition.
    old = Q(trashed_at__lt=as_of - timedelta(days=trash_days))
    return old & Q(trashed_at__lt=DaysBefore(as_of, "trash_days"))
