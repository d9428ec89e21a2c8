"""The form of a schedule in the admin."""

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.functional import cached_property

from tasks.engine.models import Schedule

if TYPE_CHECKING:
    ScheduleModelForm = forms.ModelForm[Schedule]
else:
    ScheduleModelForm = forms.ModelForm


class ScheduleForm(ScheduleModelForm):
    """Changes only those fields of a schedule that staff have changed.

    Each is compared with what the form showed, not with the row: a form that was opened before
    somebody paused the schedule does not resume it.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
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
        for name, wanted in list(cleaned.items()):
            now = self.initial[name]
            if name not in self.changed_data:
                cleaned[name] = now
            elif now not in (wanted, self._shown(name)):
                text = "Somebody else has changed this: it is now %s. Reload the page."
                self.add_error(name, text % ("empty" if now in ("", None) else now))
        return cleaned

    def _shown(self, name: str) -> Any:
        """Return the value that the form showed; the row's, if the form does not say."""
        hidden = self[name].html_initial_name
        with suppress(ValidationError):
            if hidden in self.data:
                return self.fields[name].to_python(self.data[hidden])
        return self.initial[name]

    def validate_constraints(self) -> None:
        """Skip the database's constraint if the times were refused already."""
        if not self.errors:
            super().validate_constraints()
