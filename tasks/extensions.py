"""What Tidy tells the engine about its tasks: charts, questions, results in words, undo."""

from collections.abc import Sequence
from typing import Any, override

from django.conf import settings
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Coalesce
from dramatiq import Message
from dramatiq.broker import get_broker

from accounts.models import User
from accounts.services import UserService
from tasks.engine.console.charts import DailyChart, json_number
from tasks.engine.database import database_now
from tasks.engine.extension import Confirmation, ExportedCount, TaskExtension
from tasks.engine.models import State, TaskRun
from tasks.engine.operations.errors import Refused
from tasks.engine.words import count
from tasks.names import TaskName
from tasks.undo import NotRestorable, todos_removed_by
from todos.clock import ClocksDisagree
from todos.services import TodoService

#: Todos that a cleanup removed. A run that was stopped has no result, but its progress says.
TODOS_SWEPT = Case(
    When(state=State.CANCELLED, then=json_number("progress__rows")),
    default=json_number("result__todos_deleted"),
)


PEOPLE = ("person taking part", "people taking part")
SWEPT = ("todo swept", "todos swept")
#: Where a result is shown, the words say that they are not deleted: unless there is no trash.
MOVED = ("todo swept to the trash", "todos swept to the trash")
TAKEN = MOVED if settings.TODO_TRASH_DAYS else SWEPT
PURGED = ("todo deleted for good", "todos deleted for good")
RESTORED = ("todo restored", "todos restored")


class CleanupExtension(TaskExtension):
    counts = {"todos_deleted": TAKEN, "users_processed": PEOPLE, "rows": TAKEN}
    exported = (
        ExportedCount(
            metric="todos_swept",
            help="Todos that cleanups have removed from people's lists.",
            key="todos_deleted",
            or_rows=True,
        ),
    )
    charts = (
        DailyChart(
            title="Todos swept",
            runs=Q(state__in=[State.SUCCEEDED, State.CANCELLED]),
            value=Coalesce(TODOS_SWEPT, Value(0)),
            counted=SWEPT,
            nothing="No cleanup",
            zero="No todo was swept",
        ),
        DailyChart(
            title="Duration of the cleanup",
            runs=Q(state=State.SUCCEEDED),
            value=F("finished_at") - F("started_at"),
            longest="the longest cleanup took",
            nothing="No cleanup",
        ),
    )

    @override
    def undo_message(self, run: TaskRun) -> Message[Any]:
        return get_broker().get_actor(TaskName.TODO_RESTORE).message(run_id=run.pk)

    @override
    def can_be_undone(self, run: TaskRun) -> bool:
        return run.is_finished and todos_removed_by(run_id=run.pk).exists()

    @override
    def undo_preview(self, run: TaskRun) -> Sequence[str]:
        try:
            removed = todos_removed_by(run_id=run.pk)
        except NotRestorable as error:
            raise Refused(str(error)) from error
        report = TodoService.preview_restore(todos=removed)
        restored, left = report["todos_restored"], report["todos_left"]
        if not restored and not left:
            raise Refused(f"No todo that run {run.pk} removed is in the trash anymore.")
        todos = count(restored, "todo")
        lines = [f"{todos} will be restored as before, and kept for at least a week."]
        if left:
            reasons = sorted({error["reason"] for error in report["errors"]})
            lines.append(f"{left:,} cannot: {' or '.join(reasons)}.")
        return lines


class PurgeExtension(TaskExtension):
    """The purge, which asks for a confirmation: it says how many todos it would delete."""

    counts = {"todos_purged": PURGED, "rows": PURGED}
    exported = (
        ExportedCount(
            metric="todos_purged",
            help="Todos that purges have deleted for good.",
            key="todos_purged",
            or_rows=True,
        ),
    )

    @override
    def confirmation(self, message: Message[Any]) -> Confirmation:
        days, user_id = message.kwargs.get("days"), message.kwargs.get("user_id")
        try:
            user = None if user_id is None else UserService.get(user_id=user_id)
            report = TodoService.preview_purge(as_of=database_now(), days=days, user=user)
        except User.DoesNotExist as error:
            raise Refused("This person does not exist.") from error
        except ClocksDisagree as error:
            raise Refused(str(error)) from error
        todos = count(report["todos_purged"], "todo")
        return Confirmation(
            title="Purge the trash",
            lines=(f"{todos} would be deleted for good.", "This cannot be undone."),
            button=f"Yes, delete {todos} for good",
        )


class RestoreExtension(TaskExtension):
    counts = {
        "todos_restored": RESTORED,
        "todos_left": ("todo left in the trash", "todos left in the trash"),
        "rows": RESTORED,
    }
    exported = (
        ExportedCount(
            metric="todos_restored",
            help="Todos that operators have brought back by runs; people's own are not counted.",
            key="todos_restored",
            or_rows=True,
        ),
    )


class ReceiptsExtension(TaskExtension):
    counts = {
        "receipts_sent": ("receipt sent", "receipts sent"),
        "receipts_refused": ("refused", "refused"),
        "rows": ("receipt sent", "receipts sent"),
    }
    exported = (
        ExportedCount(
            metric="receipts_sent",
            help="Receipts that the mail server has accepted.",
            key="receipts_sent",
            or_rows=True,
        ),
    )
