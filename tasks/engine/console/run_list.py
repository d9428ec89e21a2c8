"""The console's list of runs: what an address asks for, page by page, the newest first."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from time import monotonic
from typing import Any

from django.contrib import admin
from django.db.models.functions import Right
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.template.response import TemplateResponse
from django.views.decorators.http import require_safe

from tasks.engine import words
from tasks.engine.console.requests import for_operators, may_view_details, operator
from tasks.engine.console.run_form import FORMER_NAMES, RunListForm, address_of
from tasks.engine.database import database_now
from tasks.engine.models import State, TaskRun
from tasks.engine.monitoring.clock import seconds_since
from tasks.engine.monitoring.failures import MAX_ERROR_LENGTH, shown_error
from tasks.engine.monitoring.headline import headline
from tasks.engine.operations.bulk import verbs_for
from tasks.engine.operations.run_filter import RunFilter
from tasks.engine.operations.run_search import MOST_COUNTED, Found, bounds, search

#: Runs on a page.
PAGE_SIZE = 50

#: How long a page may look for runs; and where there is a text to look for, which no index finds.
SEARCH_SECONDS = 0.07
TEXT_SEARCH_SECONDS = 1.0

#: Groups of failures that are listed; how long (s) failures are grouped; how many at first.
MAX_GROUPS = 10
GROUP_SECONDS = 0.03
FIRST_GROUPED = 250

#: Characters at the end of an error in which its last line is looked for.
END_OF_ERROR = 1_000

#: The lists that say which errors there are.
OF_FAILURES = (State.FAILED, "unacknowledged")


@dataclass(frozen=True, kw_only=True)
class Row:
    """A run as the list shows it.

    Attributes:
        error: the last line of its error, for who may see it.
        same_error: the address of all runs with that error.
    """

    run: TaskRun
    state: str
    duration: str
    error: str
    same_error: str


@dataclass(frozen=True, kw_only=True)
class Group:
    """How many of the failures that were looked at have one task and one error."""

    task: str
    error: str
    count: int
    address: str


@dataclass(frozen=True, kw_only=True)
class Groups:
    """The most frequent tasks and errors of failures.

    Attributes:
        more: how many others there are.
        looked_at: how many failures were, the latest, `in_all` of which match.
    """

    listed: Sequence[Group]
    more: int
    looked_at: int
    in_all: int


@dataclass(frozen=True, kw_only=True)
class RunPage:
    """A page of the list.

    Attributes:
        wanted: what the address asks for.
        found: what was found of it.
        before, after: the run at which the page begins, if it is not the first.
        with_details: whether the reader may see errors.
    """

    wanted: RunFilter
    found: Found
    before: int | None
    after: int | None
    now: datetime
    with_details: bool

    @property
    def ids(self) -> tuple[int, ...]:
        """The runs on the page, the newest first."""
        ids = self.found.ids[:PAGE_SIZE]
        return ids[::-1] if self.after is not None else ids

    @cached_property
    def rows(self) -> list[Row]:
        runs = TaskRun.objects.noting_obstacles().annotate(error_end=Right("error", END_OF_ERROR))
        found = runs.defer("error", "arguments").in_bulk(self.ids)
        # A run may have been pruned meanwhile.
        return [self._row(found[pk]) for pk in self.ids if pk in found]

    def _row(self, run: TaskRun) -> Row:
        run.error = vars(run)["error_end"]  # Its end will do, and is there.
        error = shown_error(run) if self.with_details else ""
        return Row(
            run=run,
            state=str(headline(run, self.now)),
            duration=duration_of(run, self.now),
            error=error,
            same_error=address_of(replace(self.wanted, error=error)) if error else "",
        )

    @cached_property
    def groups(self) -> Groups | None:
        """The failures that match by task and error; None if all of them have the same."""
        if not self.with_details or self.wanted.state not in OF_FAILURES or not self.is_first:
            return None
        counted, looked_at = count_errors(self.found.ids)
        if len(counted) <= 1 and looked_at == len(self.found.ids):
            return None
        listed = counted.most_common(MAX_GROUPS)
        return Groups(
            listed=[
                Group(
                    task=task,
                    error=error,
                    count=number,
                    address=address_of(replace(self.wanted, task=task, error=error)),
                )
                for (task, error), number in listed
            ],
            more=len(counted) - len(listed),
            looked_at=looked_at,
            in_all=len(self.found.ids),
        )

    @property
    def is_first(self) -> bool:
        return self.before is None and self.after is None

    @property
    def total(self) -> str:
        """How many match, in words; empty if it was not counted."""
        number = len(self.found.ids)
        if not self.is_first:
            return ""
        if number > MOST_COUNTED:
            return f"More than {MOST_COUNTED:,} runs match."
        matching = words.count(number, "run matches", "runs match")
        if self.found.looked_at is not None:
            return f"At least {matching}."
        return f"{matching}." if number else "No run matches."

    @property
    def older(self) -> str:
        """The address of the page of older runs; empty if there are none."""
        has_more = len(self.found.ids) > PAGE_SIZE or self.after is not None
        return address_of(self.wanted, before=self.ids[-1]) if has_more and self.ids else ""

    @property
    def newer(self) -> str:
        """The address of the page of newer runs; empty if this is the first."""
        if self.is_first or (self.after is not None and len(self.found.ids) <= PAGE_SIZE):
            return ""
        return address_of(self.wanted, after=self.ids[0]) if self.ids else ""

    @property
    def newest(self) -> str:
        """The address of the first page."""
        return address_of(self.wanted)

    @property
    def farther(self) -> str:
        """The address at which a search that gave up goes on; empty if the page is full."""
        if self.found.looked_at is None or len(self.found.ids) > PAGE_SIZE:
            return ""
        side = "after" if self.after is not None else "before"
        return address_of(self.wanted, **{side: self.found.looked_at})


def count_errors(ids: Sequence[int]) -> tuple[Counter[tuple[str, str]], int]:
    """Count the tasks and errors of some runs, the first ones if it takes too long.

    Returns:
        How many runs have each task and error, and how many runs were looked at.
    """
    started, looked_at, size = monotonic(), 0, FIRST_GROUPED
    counted: Counter[tuple[str, str]] = Counter()
    # The first part is always looked at. The next one takes four times as long as the one before.
    while looked_at < len(ids) and (not looked_at or monotonic() - started < GROUP_SECONDS / 5):
        part = ids[looked_at : looked_at + size]
        ends = (
            TaskRun.objects.filter(pk__in=part)
            .annotate(error_end=Right("error", END_OF_ERROR))
            .values_list("task", "error_end")
        )
        counted.update((task, words.last_line(end)[:MAX_ERROR_LENGTH]) for task, end in ends)
        looked_at, size = looked_at + len(part), 4 * size
    return counted, looked_at


@require_safe
@for_operators()
def run_list(request: HttpRequest) -> HttpResponse:
    """Show the runs that match the address; say beside the field what of it makes no sense."""
    form = RunListForm(request.GET, with_details=may_view_details(request))
    page = None
    if form.is_valid():
        before, after = form.cleaned_data["before"], form.cleaned_data["after"]
        address = address_of(form.wanted, before=before, after=after)
        if is_to_be_rewritten(request.GET, address):
            return HttpResponseRedirect(f"{request.path}?{address}" if address else request.path)
        page = read_page(form.wanted, before, after, with_details=may_view_details(request))
    context = {
        **admin.site.each_context(request),
        "title": "Runs",
        "form": form,
        "page": page,
        "is_narrowed": bool(form.errors or (page and page.wanted != RunFilter())),
        "fields": wanted_fields(page.wanted) if page else (),
        "verbs": verbs_for(operator(request)),
    }
    status = 200 if page else 400
    return TemplateResponse(request, "tasks/console/runs.html", context, status=status)


def is_to_be_rewritten(given: QueryDict, address: str) -> bool:
    """Say whether an address is not the one to send to others: as a form without a script posts it.

    It has empty parts then, and dates by the clock of whoever filled the form in. Those with names
    of the version before are left as they are.
    """
    if set(given) & set(FORMER_NAMES):
        return False
    return dict(given.items()) != dict(QueryDict(address).items())


def wanted_fields(wanted: RunFilter) -> Sequence[tuple[str, Any]]:
    """Return the fields of a form that posts a filter."""
    return tuple(wanted.as_json().items())


def read_page(
    wanted: RunFilter, before: int | None, after: int | None, *, with_details: bool
) -> RunPage:
    """Look for the runs of a page; on the first, count those that match."""
    low, high = bounds(wanted)
    if before is not None:
        high = min(high, before - 1)
    if after is not None:
        low = max(low, after + 1)
    is_first = before is None and after is None
    found = search(
        wanted.of(TaskRun.objects.all()),
        low=low,
        high=high,
        most=1 + (MOST_COUNTED if is_first else PAGE_SIZE),
        seconds=TEXT_SEARCH_SECONDS if wanted.reads_texts else SEARCH_SECONDS,
        oldest_first=after is not None,
    )
    return RunPage(
        wanted=wanted,
        found=found,
        before=before,
        after=after,
        now=database_now(),
        with_details=with_details,
    )


def duration_of(run: TaskRun, now: datetime) -> str:
    """Return how long a run took, or has taken so far; empty if it has not started."""
    if run.started_at is None:
        return ""
    return words.duration(
        max(0.0, seconds_since(run.started_at, run.finished_at or now)), tenths=True
    )
