"""What a project tells the engine about a task: the one point at which the engine is extended."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog
from django.core.checks import CheckMessage, Error
from dramatiq import Message
from dramatiq.broker import get_broker

from tasks.engine.words import count

if TYPE_CHECKING:
    from tasks.engine.console.charts import DailyChart
    from tasks.engine.models import TaskRun


logger = structlog.get_logger(__name__)

#: The name of an exported count; the exporter adds `_total`.
METRIC_NAME = re.compile(r"(?!.*_total$)[a-z][a-z0-9_]{0,80}")


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    """What staff confirm before they start a run: a title, what it would do, a button's text."""

    title: str
    lines: tuple[str, ...]
    button: str


@dataclass(frozen=True, kw_only=True)
class ExportedCount:
    """A number in the results of a task's runs that monitoring sees, added up over all runs.

    Attributes:
        metric: its name, without `_total`: `mails_sent`.
        help: what it counts, in a sentence.
        key: the number in a result.
        or_rows: a run that ended without a result counts the rows that it had processed.
    """

    metric: str
    help: str
    key: str
    or_rows: bool = False


class TaskExtension:
    """What the engine cannot know about a task. An actor gets it as an option:

        @dramatiq.actor(actor_name="report.send", extension=ReportExtension())

    By default, a task has no charts, starts without a question, keeps its results to those who may
    see them, and cannot be undone.

    Attributes:
        counts: which whole numbers of a result all staff may see, by key, and what each counts, in
            the singular and the plural: `{"sent": ("mail sent", "mails sent")}`. Of a run that was
            cancelled there is `rows`, the rows it had processed.
        charts: drawn on the console's first page, from the task's runs of the last 30 days.
        exported: which numbers of its results are exported as metrics.
    """

    counts: Mapping[str, tuple[str, str]] = {}
    exported: Sequence[ExportedCount] = ()
    charts: Sequence["DailyChart"] = ()

    def confirmation(self, message: Message[Any]) -> Confirmation | None:  # noqa: ARG002
        """Return what staff must confirm before they start the run of a message; None if nothing.

        Raises:
            Refused: the run cannot be started; the text says why.
        """
        return None

    def summary(self, numbers: Mapping[str, int]) -> str:
        """Return the whole numbers of a result in words: `1,234 mails sent`; empty if none counts.

        Staff read this who may not see the result itself.
        """
        return ", ".join(
            count(numbers[key], *nouns) for key, nouns in self.counts.items() if key in numbers
        )

    def undo_message(self, run: "TaskRun") -> Message[Any] | None:  # noqa: ARG002
        """Return the message of the run that undoes a run; None if the task has no undo."""
        return None

    def can_be_undone(self, run: "TaskRun") -> bool:  # noqa: ARG002
        """Say whether there is anything to undo, with one cheap query: a button depends on it."""
        return False

    def undo_preview(self, run: "TaskRun") -> Sequence[str]:  # noqa: ARG002
        """Say in lines what undoing a run would restore. Changes nothing.

        Raises:
            Refused: the run cannot be undone, or has been; the text says why.
        """
        return ()


NO_EXTENSION = TaskExtension()


def extension_of(task: str) -> TaskExtension:
    """Return the extension of a task; one without effect if it has none, or no actor here."""
    actor = get_broker().actors.get(task)
    options: Mapping[str, TaskExtension] = actor.options if actor else {}
    return options.get("extension", NO_EXTENSION)


def asks_first(task: str) -> bool:
    """Say whether staff may have to confirm something before they start a task, without asking."""
    return type(extension_of(task)).confirmation is not TaskExtension.confirmation


def summary_of(task: str, numbers: Mapping[str, int]) -> str:
    """Return the whole numbers of a run's result in its extension's words.

    If the extension raises, it says so: the pages that list runs must not fail with it.
    """
    try:
        return str(extension_of(task).summary(numbers))
    except Exception as error:
        logger.exception("extension failed", task=task)
        return f"no summary: the extension of {task} raised {type(error).__name__}"


def check_extensions(**_: Any) -> Iterator[CheckMessage]:
    """Check the actors' option `extension`, as one of Django's system checks."""
    for task, actor in sorted(get_broker().actors.items()):
        if fault := fault_of(actor.options.get("extension", NO_EXTENSION)):
            yield Error(f"Actor {task}: {fault}", id="tasks.E005")


def fault_of(extension: Any) -> str:
    """Return what is wrong with the value of an option `extension`; empty if nothing is."""
    if not isinstance(extension, TaskExtension):
        return f"extension={extension!r} is not an instance of TaskExtension."
    counts: Any = extension.counts
    if not isinstance(counts, Mapping):
        return f"counts must be a mapping, not {counts!r}."
    for key, nouns in counts.items():
        if not isinstance(nouns, tuple | list) or [type(noun) for noun in nouns] != [str, str]:
            return f"counts[{key!r}] must be a singular and a plural, not {nouns!r}."
    for exported in extension.exported:
        if not METRIC_NAME.fullmatch(exported.metric):
            return f"exported: {exported.metric!r} is no name of a metric, such as mails_sent."
    return ""
