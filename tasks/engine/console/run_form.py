"""The form above the list of runs: an address becomes a filter, and a filter an address."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django import forms
from django.http import QueryDict
from django.utils.timezone import localtime
from django.utils.translation import gettext_lazy
from dramatiq.broker import get_broker

from tasks.engine.models import State, Trigger
from tasks.engine.operations.run_filter import MAX_ID, MAX_SECONDS, MAX_TEXT, RunFilter
from tasks.engine.words import moment

#: What addresses of the version before, in mails and bookmarks, call a filter.
FORMER_NAMES: Mapping[str, str] = {
    "q": "search",
    "state__exact": "state",
    "trigger__exact": "trigger",
    "task__exact": "task",
    "created_at__gte": "since",
    "created_at__lt": "until",
}

#: Further parts of an address: which page of the list it is.
PAGES = ("before", "after")

DETAILS = ("error", "arguments")

STATE_CHOICES = [
    ("", "Any"),
    ("unacknowledged", "failed or with errors, not acknowledged"),
    ("unfinished", "unfinished"),
    *((state.value, state.value) for state in State),
    ("with_errors", "succeeded, with errors"),
]
TRIGGER_CHOICES = [("", "Any"), *((one.value, one.label.lower()) for one in Trigger)]


class MomentInput(forms.DateTimeInput):
    """A field for a date and time by the reader's clock."""

    input_type = "datetime-local"


class MomentField(forms.DateTimeField):
    """A date and time: by the reader's clock, or with a zone of its own, as links have it."""

    widget = MomentInput(format="%Y-%m-%dT%H:%M")
    default_error_messages = {
        "invalid": gettext_lazy("Give a date and time, such as 2026-03-10T02:00.")
    }

    def clean(self, value: Any) -> datetime | None:
        found: datetime | None = super().clean(value)
        try:
            return found.astimezone(UTC) if found else None
        except OverflowError:
            raise forms.ValidationError(self.error_messages["invalid"], "invalid") from None

    def prepare_value(self, value: Any) -> Any:
        """Return what the field shows: nothing, if it is no date and time."""
        try:
            return localtime(self.clean(value)) if value else None
        except (forms.ValidationError, OverflowError):
            return None


class RunListForm(forms.Form):
    """What the list of runs shows. Whoever may not see details cannot ask for any."""

    search = forms.CharField(
        required=False,
        max_length=MAX_TEXT,
        help_text="Number, task, schedule, worker, message id or request id",
        widget=forms.TextInput({"type": "search"}),
    )
    state = forms.ChoiceField(required=False, choices=STATE_CHOICES)
    task = forms.CharField(required=False, max_length=MAX_TEXT)
    trigger = forms.ChoiceField(required=False, choices=TRIGGER_CHOICES)
    since = MomentField(required=False, label="Created from")
    until = MomentField(required=False, label="Created before")
    at_least = forms.IntegerField(
        required=False,
        label="Took at least, seconds",
        min_value=0,
        max_value=MAX_SECONDS,
        error_messages={"invalid": "Give a whole number of seconds."},
    )
    error = forms.CharField(required=False, max_length=MAX_TEXT, label="Error contains")
    arguments = forms.CharField(
        required=False,
        max_length=MAX_TEXT,
        label="Arguments contain",
        widget=forms.TextInput({"placeholder": "keep_days=3"}),
    )
    before = forms.IntegerField(required=False, min_value=1, max_value=MAX_ID)
    after = forms.IntegerField(required=False, min_value=0, max_value=MAX_ID)

    def __init__(self, address: QueryDict, *, with_details: bool) -> None:
        super().__init__(with_present_names(address), auto_id="filter-%s")
        self._unknown = sorted(set(self.data) - set(self.fields))
        self._withheld = [name for name in DETAILS if not with_details and self.data.get(name)]
        if not with_details:
            for name in DETAILS:
                del self.fields[name]
        tasks = sorted({*get_broker().actors, self.data.get("task") or ""} - {""})
        self.fields["task"].widget = forms.Select(
            choices=[("", "Any"), *((task, task) for task in tasks)]
        )

    def clean(self) -> dict[str, Any]:
        """Refuse what the address has and this page does not know, and dates that are no span."""
        for name in self._withheld:
            takes = "that takes the permission to view errors, arguments and results of runs."
            self.add_error(None, f"You may not look for runs by their {name}: {takes}")
        for name in self._unknown:
            self.add_error(None, f"This page has no filter “{name[:MAX_TEXT]}”.")
        cleaned = self.cleaned_data
        since, until = cleaned.get("since"), cleaned.get("until")
        if since and until and since >= until:
            self.add_error("until", "This is not after the first date.")
        return cleaned

    @property
    def wanted(self) -> RunFilter:
        """The filter of a form that is valid."""
        return RunFilter(
            **{
                name: value
                for name, value in self.cleaned_data.items()
                if value and name not in PAGES
            }
        )

    @property
    def in_words(self) -> str:
        """What the fields that can be folded away narrow the list to; empty if nothing."""
        given = ((field.label, self.cleaned_data.get(field.name)) for field in self.shown)
        return ", ".join(
            f"{str(label).lower()} {moment(value) if isinstance(value, datetime) else value}"
            for label, value in given
            if value
        )

    @property
    def shown(self) -> list[forms.BoundField]:
        """The fields that the page shows, besides the one to search."""
        return [self[name] for name in self.fields if name not in ("search", *PAGES)]


def with_present_names(address: QueryDict) -> dict[str, Any]:
    """Return the last value of each part of an address, by its present name."""
    return {FORMER_NAMES.get(name, name): value for name, value in address.items()}


def address_of(wanted: RunFilter, **pages: int | None) -> str:
    """Return the query string of a filter, which means the same to every reader."""
    query = QueryDict(mutable=True)
    for name, value in (*wanted.as_json().items(), *pages.items()):
        if value:
            query[name] = str(value)
    return query.urlencode()
