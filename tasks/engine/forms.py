"""The form of a schedule in the admin."""

import json
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.forms.fields import InvalidJSONInput
from django.utils.functional import cached_property
from dramatiq.errors import ActorNotFound

from tasks.engine.broker.messages import message_for
from tasks.engine.database import database_now
from tasks.engine.models import Process, ProcessKind, Schedule
from tasks.engine.recurrence import ONE_OF_THREE
from tasks.engine.words import reason

if TYPE_CHECKING:
    ScheduleModelForm = forms.ModelForm[Schedule]
else:
    ScheduleModelForm = forms.ModelForm

#: As HTML's input of a moment has it.
DATETIME_LOCAL = "%Y-%m-%dT%H:%M:%S"

#: How far a schedule's one moment may lie ahead.
FARTHEST = timedelta(days=10 * 366)

#: Names in the time zone database that stand for no place.
NO_PLACES = {"localtime", "posixrules", "Factory"}

NAME_TAKEN = "This task has a schedule of this name already: give this one a name of its own."

OLD_SCHEDULER = (
    "A scheduler of an earlier version is still running: it knows nothing of {what}. Try again when"
    " it has been replaced."
)


class ArgumentsField(forms.JSONField):
    """A JSON object; refuses in a line what Python's reader ends with another error of its own."""

    def to_python(self, value: Any) -> Any:
        try:
            found = super().to_python(value)
        except (ValueError, RecursionError) as error:
            raise ValidationError(f"This is not JSON: {reason(error)}.") from error
        if not isinstance(found, dict | None):
            raise ValidationError('Give a JSON object, such as {"keep_days": 3}.')
        return found or {}

    def bound_data(self, data: Any, initial: Any) -> Any:  # noqa: ARG002  (Django's)
        """Return what was typed, as it was typed."""
        return InvalidJSONInput(data)


class ScheduleForm(ScheduleModelForm):
    """Changes only those fields of a schedule that staff have changed.

    Each is compared with what the form showed, not with the row: a form that was opened before
    somebody else's change does not undo it.
    """

    once_at = forms.DateTimeField(
        label="Once, at",
        required=False,
        widget=forms.DateTimeInput({"type": "datetime-local", "step": 1}, format=DATETIME_LOCAL),
        help_text="One moment, instead of a crontab, by the clock of your own time zone.",
    )

    class Meta:
        error_messages: ClassVar = {NON_FIELD_ERRORS: {"unique_together": NAME_TAKEN}}
        field_classes: ClassVar = {"arguments": ArgumentsField}
        widgets: ClassVar = {"arguments": forms.Textarea({"rows": 3, "spellcheck": "false"})}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            for field in self.fields.values():
                field.show_hidden_initial = True

    @cached_property
    def changed_data(self) -> list[str]:
        """The fields that differ from what the form showed."""
        return [
            name
            for name, field in self.fields.items()
            if field.has_changed(self._shown(name), self[name].data)
        ]

    def clean(self) -> dict[str, Any]:
        """Keep the row's values of unchanged fields; refuse a change that came too late."""
        cleaned = {**self.cleaned_data, **(super().clean() or {})}
        if self.instance.pk:
            for name, wanted in list(cleaned.items()):
                now = self.initial[name]
                if name not in self.changed_data:
                    cleaned[name] = now
                elif now not in (wanted, self._shown(name)):
                    text = "Somebody else has changed this: it is now %s. Reload the page."
                    self.add_error(name, text % shown(now))
        self._check_zone(cleaned)
        self._check_moment(cleaned)
        self._check_arguments(cleaned)
        return cleaned

    def _check_zone(self, cleaned: dict[str, Any]) -> None:
        if "timezone" in self.changed_data and cleaned.get("timezone") in NO_PLACES:
            text = "Name a place, such as Europe/Berlin: this may differ from host to host."
            self.add_error("timezone", text)

    def _check_moment(self, cleaned: dict[str, Any]) -> None:
        moment, now = cleaned.get("once_at"), database_now()
        if not moment or "once_at" not in self.changed_data:
            return
        if moment <= now:
            self.add_error("once_at", "This moment has passed.")
        elif moment > now + FARTHEST:
            self.add_error("once_at", "This is more than ten years from now.")

    def _check_arguments(self, cleaned: dict[str, Any]) -> None:
        task = cleaned.get("task", self.instance.task)
        if not task or "arguments" not in cleaned:
            return
        try:
            message_for(task, cleaned["arguments"])
        except ActorNotFound:
            self.add_error(None, f"This version of the code has no actor for {task}.")
        except (TypeError, ValueError) as error:
            self.add_error("arguments", str(error))

    def full_clean(self) -> None:
        """Check everything; refuse what a scheduler that is still there would get wrong."""
        super().full_clean()
        self._tell_once()
        if not self.is_bound or self.errors or not self.instance.needs_extension:
            return
        schedulers = Process.objects.alive().filter(kind=ProcessKind.SCHEDULER)
        if schedulers.filter(knows_extended=False).exists():
            what = "names, arguments, single moments, jitter and waiting"
            self.add_error(None, OLD_SCHEDULER.format(what=what))

    def _tell_once(self) -> None:
        """Leave out that a time is missing where one was given, and refused."""
        if (
            ONE_OF_THREE in self.non_field_errors()
            and {"crontab", "every", "once_at"} & self.errors.keys()
        ):
            del self.errors[NON_FIELD_ERRORS]

    def _shown(self, name: str) -> Any:
        """Return the value that the form showed; the row's, if the form does not say."""
        hidden = self[name].html_initial_name
        with suppress(ValidationError):
            if hidden in self.data:
                return self.fields[name].to_python(self.data[hidden])
        return self.initial.get(name)

    def validate_constraints(self) -> None:
        """Skip the database's constraint if the times were refused already."""
        if not self.errors:
            super().validate_constraints()


def shown(value: object) -> str:
    """Return a field's value as a complaint quotes it."""
    if value in ("", None, {}):
        return "empty"
    return json.dumps(value) if isinstance(value, dict) else str(value)
