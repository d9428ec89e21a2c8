"""A person's preferences."""

from datetime import datetime
from functools import cache, partial
from typing import Any, cast

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from accounts.models import Preferences, Theme, User
from accounts.pages.tokens import tokens_of
from accounts.services import UserService
from todos.leaving import next_cleanup_after
from todos.pages.keep_choices import (
    as_preferences,
    is_choice,
    keep_choices,
    kept_by,
    meaning,
)
from todos.pages.notices import Offer, report
from todos.pages.requests import PersonRequest
from todos.pages.time_zones import time_zone_choices

NOT_A_CHOICE = gettext_lazy("Choose one of these.")


class KeepField(forms.ChoiceField):
    """How long completed todos stay. An earlier choice can be posted again, on offer or not."""

    def valid_value(self, value: str) -> bool:
        return is_choice(value)


class PreferencesForm(forms.Form):
    """What a person prefers.

    Each field posts what it showed, too. Only what differs is saved, so that a page that was opened
    long ago takes nothing back that was changed elsewhere meanwhile.
    """

    keep = KeepField(
        widget=forms.RadioSelect,
        show_hidden_initial=True,
        error_messages={"required": NOT_A_CHOICE, "invalid_choice": NOT_A_CHOICE},
    )
    wants_receipt = forms.BooleanField(
        label=gettext_lazy("Send me a mail after each night that took something"),
        required=False,
        show_hidden_initial=True,
    )
    receipt_titles = forms.BooleanField(
        label=gettext_lazy("With the titles; otherwise it says only how many"),
        required=False,
        show_hidden_initial=True,
    )
    time_zone = forms.ChoiceField(
        label=gettext_lazy("Time zone"),
        required=False,
        show_hidden_initial=True,
        error_messages={"invalid_choice": gettext_lazy("Choose a time zone from the list.")},
    )
    language = forms.ChoiceField(
        label=gettext_lazy("Language"),
        choices=[("", gettext_lazy("as my browser asks for")), *settings.LANGUAGES],
        required=False,
        show_hidden_initial=True,
        error_messages={"invalid_choice": NOT_A_CHOICE},
    )
    theme = forms.ChoiceField(
        label=gettext_lazy("Colors"),
        choices=Theme.choices,
        widget=forms.RadioSelect,
        show_hidden_initial=True,
        error_messages={"required": NOT_A_CHOICE, "invalid_choice": NOT_A_CHOICE},
    )
    shortcuts = forms.BooleanField(
        label=gettext_lazy("Keyboard shortcuts"),
        required=False,
        show_hidden_initial=True,
        help_text=gettext_lazy("Esc, then ? shows the keys."),
    )

    def __init__(self, user: User, *, data: QueryDict | None, cleanup: datetime | None) -> None:
        """Show the preferences of a person; a field that `data` has not shown stays as it is."""
        initial = {name: getattr(user, name) for name in self.base_fields if name != "keep"}
        super().__init__(
            data,
            initial={**initial, "keep": kept_by(user)},
            label_suffix="",
            use_required_attribute=False,
        )
        choices = {
            "keep": partial(keep_choices, user, cleanup=cleanup),
            "time_zone": partial(_time_zones, user.time_zone),
        }
        for name, find in choices.items():
            cast("forms.ChoiceField", self.fields[name]).choices = cache(find)
        if data is not None:
            for name, field in self.fields.items():
                field.disabled = self.add_initial_prefix(name) not in data

    def changes(self) -> Preferences:
        """Return what is to be saved."""
        values = {name: self.cleaned_data[name] for name in self.changed_data}
        keep = values.pop("keep", None)
        return cast("Preferences", {**values, **(as_preferences(keep) if keep else {})})

    def undo(self) -> Offer:
        """Offer to save what it was before."""
        fields = {}
        for name in self.changed_data:
            before, after = self.initial[name], self.cleaned_data[name]
            fields[self.add_initial_prefix(name)] = str(after)
            if before is not False:  # As a browser does, which posts no box that is not checked.
                fields[name] = str(before)
        return Offer(label=_("Undo"), url=reverse("todos:preferences"), fields=fields)


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def show(request: PersonRequest) -> HttpResponse:
    """Show the preferences, and save what was changed."""
    cleanup = next_cleanup_after(timezone.now())
    data = request.POST if request.method == "POST" else None
    form = PreferencesForm(request.user, data=data, cleanup=cleanup)
    if form.is_valid() and _save(request, form):
        return redirect("todos:preferences")
    context = {
        "form": form,
        "receipt_fields": [form["wants_receipt"], form["receipt_titles"]],
        "cleanup": cleanup,
        "trash_days": settings.TODO_TRASH_DAYS,
        "has_mail": settings.SENDS_MAIL,
        "is_reachable": UserService.reachable().filter(pk=request.user.pk).exists(),
        **tokens_of(request.user, page=reverse("todos:preferences")),
    }
    return render(request, "todos/preferences.html", context)


def _save(request: PersonRequest, form: PreferencesForm) -> bool:
    """Save what was changed and report it; say whether it was accepted."""
    user, changes = request.user, form.changes()
    if not changes:
        report(request, _("Nothing was changed."), level=messages.INFO)
        return True
    try:
        UserService.set_preferences(user=user, **changes)
    except ValidationError as error:
        user.refresh_from_db()
        form.add_error(None, error.messages)
        return False
    # In the language that was chosen just now.
    with translation.override(user.language or translation.get_language_from_request(request)):
        text = _("Saved.")
        if "keep" in form.changed_data:
            text = f"{text} {meaning(form.cleaned_data['keep'])}"
        report(request, text, form.undo())
    return True


def _time_zones(own: str) -> list[tuple[str, Any]]:
    site = _("as this site has it (%(zone)s)") % {"zone": settings.TIME_ZONE}
    return [("", site), *time_zone_choices(own)]
