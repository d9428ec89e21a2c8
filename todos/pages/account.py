"""Deleting one's own account, with everything in it."""

from typing import Any

from allauth.account.decorators import reauthentication_required
from allauth.account.forms import ReauthenticateForm
from allauth.decorators import rate_limit
from allauth.mfa.models import Authenticator
from django import forms
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.db import IntegrityError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_safe

from accounts.models import User
from accounts.services import AccountKept, UserService
from todos.pages.notices import report
from todos.pages.requests import PersonRequest
from todos.services import TodoService


class UsernameForm(forms.Form):
    """Asks somebody who has no password for a clear word: their user name."""

    username = forms.CharField(
        label=gettext_lazy("Your user name"),
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none"}),
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._user = user

    def clean_username(self) -> str:
        """Check that it is theirs."""
        username: str = self.cleaned_data["username"]
        if username != self._user.username:
            raise ValidationError(_("This is not your user name."))
        return username


def may_confirm_otherwise(request: PersonRequest) -> bool:
    """Say whether somebody has no password, but a passkey, for example."""
    user = request.user
    return not user.has_usable_password() and Authenticator.objects.filter(user=user).exists()


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
@rate_limit(action="reauthenticate")  # type: ignore[untyped-decorator]  # allauth has no types.
@reauthentication_required(allow_get=True, enabled=may_confirm_otherwise)  # type: ignore[untyped-decorator]  # As above.
def delete(request: PersonRequest) -> HttpResponse:
    """Say what goes with an account; delete it, with all of that, if its owner confirms it."""
    user = request.user
    # Whoever confirms it is not asked for twice: the deletion looks at it itself.
    if (request.method != "POST" or user.is_staff) and must_stay(user):
        return render(request, "todos/account_kept.html")
    ask = ReauthenticateForm if user.has_usable_password() else UsernameForm
    data = request.POST if request.method == "POST" else None
    form = ask(data, user=user, label_suffix="")
    if form.is_valid():
        return _delete(request)
    context = {"form": form, **TodoService.count(user=user)._asdict()}
    return render(request, "todos/delete_account.html", context)


def must_stay(user: User) -> bool:
    """Say whether an account cannot be deleted."""
    try:
        UserService.check_deletable(users=User.objects.get_queryset().filter(pk=user.pk))
    except AccountKept:
        return True
    return False


def _delete(request: PersonRequest) -> HttpResponse:
    try:
        _try_twice_to_delete(request.user)
    except AccountKept:  # They have become staff just now: the page says so.
        return redirect("todos:delete_account")
    except IntegrityError:
        text = _("Something new of yours appeared meanwhile. Nothing was deleted; try again.")
        report(request, text, level=messages.WARNING)
        return redirect("todos:delete_account")
    # Notices that were not shown yet may quote a todo.
    list(messages.get_messages(request))
    logout(request)
    return redirect("todos:goodbye")


def _try_twice_to_delete(user: User) -> None:
    """Delete a person, although something new of theirs appeared meanwhile."""
    try:
        UserService.delete(user=user)
    except IntegrityError:
        UserService.delete(user=user)


@require_safe
def goodbye(request: HttpRequest) -> HttpResponse:
    """Say that an account is gone."""
    if request.user.is_authenticated:
        return redirect("todos:list")
    return render(request, "todos/goodbye.html")
