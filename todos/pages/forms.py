"""The form of a todo. What its fields may hold, `TodoService` says."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from todos.models import Todo

TOO_LONG = _(
    "A title has at most %(limit_value)d characters; this one has %(show_value)d."
    " Put the rest into the description."
)


class EditForm(forms.Form):
    """A todo's texts and its due date, with the version that they were read from."""

    title = forms.CharField(
        label=_("Title"),
        required=False,
        widget=forms.TextInput({"autofocus": True, "dir": "auto", "autocomplete": "off"}),
    )
    description = forms.CharField(
        label=_("Description"), required=False, widget=forms.Textarea({"rows": 4, "dir": "auto"})
    )
    due_on = forms.DateField(
        label=_("Due"),
        required=False,
        # The format of the browser's own field, in every language.
        widget=forms.DateInput({"type": "date"}, format="%Y-%m-%d"),
        input_formats=["%Y-%m-%d"],
    )
    version = forms.CharField(required=False, widget=forms.HiddenInput)

    use_required_attribute = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"label_suffix": "", **kwargs})

    def clean_description(self) -> str:
        """Return the text with the line ends that it had: browsers send others."""
        text: str = self.cleaned_data["description"]
        return text.replace("\r\n", "\n")


def in_plain_words(invalid: ValidationError) -> ValidationError:
    """Return what is wrong with a todo, and what to do about a title that is too long."""
    for error in invalid.error_dict.get("title", []):
        if error.code == "max_length":
            error.message = TOO_LONG
    return invalid


def form_of(todo: Todo) -> EditForm:
    """Return the form of a todo as it is."""
    return EditForm(initial=values_of(todo), auto_id=f"id_{todo.pk}_%s")


def values_of(todo: Todo) -> dict[str, Any]:
    """Return what the form of a todo shows."""
    return {
        "title": todo.title,
        "description": todo.description,
        "due_on": todo.due_on,
        "version": todo.version,
    }
