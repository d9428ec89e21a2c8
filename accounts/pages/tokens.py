"""A person's tokens: which there are, a new one, whose secret is shown once, and their end."""

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from allauth.account.adapter import get_adapter
from allauth.account.internal.flows.reauthentication import raise_if_reauthentication_required
from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST

from accounts.models import Access, Token, User
from accounts.pages.receivers import log
from accounts.pages.requests import PersonRequest
from accounts.tokens.services import NewToken, TokenNotFound, TokenService

NEVER = "never"

NOT_A_CHOICE = gettext_lazy("Choose one of these.")


class TokenForm(forms.Form):
    """What a new token is called, what it is for, and how long it works."""

    name = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=100,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        help_text=gettext_lazy("To tell it from others, such as “Backup at night”."),
    )
    access = forms.ChoiceField(
        label=gettext_lazy("What it is for"),
        choices=Access.choices,
        initial=Access.READ,
        widget=forms.RadioSelect,
        error_messages={"required": NOT_A_CHOICE, "invalid_choice": NOT_A_CHOICE},
    )
    #: In days.
    expires_in = forms.ChoiceField(
        label=gettext_lazy("Expires"),
        choices=[
            ("30", gettext_lazy("in 30 days")),
            ("90", gettext_lazy("in 90 days")),
            ("365", gettext_lazy("in a year")),
            (NEVER, gettext_lazy("never")),
        ],
        initial="90",
        error_messages={"required": NOT_A_CHOICE, "invalid_choice": NOT_A_CHOICE},
    )

    def __init__(self, user: User, data: QueryDict | None = None) -> None:
        super().__init__(data, label_suffix="", use_required_attribute=False)
        self._user = user

    def clean_name(self) -> str:
        """Return the name; say before a password is asked for that there is one of this name.

        Whoever loads the page of a new token again sends this form once more.
        """
        name = " ".join(self.cleaned_data["name"].split())
        TokenService.check_name(user=self._user, name=name)
        return name

    def begin_at_fault(self) -> None:
        """Have the page begin at the first field that is wrong, which may be far below."""
        wrong = next((name for name in self.fields if name in self.errors), None)
        if wrong:
            self.fields[wrong].widget.attrs["autofocus"] = True

    def expires_at(self) -> datetime | None:
        """Return until when the token works; None if for ever."""
        chosen = self.cleaned_data["expires_in"]
        return None if chosen == NEVER else timezone.now() + timedelta(days=int(chosen))


def tokens_of(user: User, *, page: str, form: TokenForm | None = None) -> dict[str, Any]:
    """Return what the template of tokens shows, which costs one query.

    Args:
        user: whose tokens.
        page: the address of the page that includes the template, to come back to.
        form: one that was filled in wrongly.
    """
    return {
        "tokens": Token.objects.filter(user=user).order_by("-pk"),
        "tokens_page": page,
        "token_form": form or TokenForm(user),
    }


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def make(request: PersonRequest) -> HttpResponse:
    """Show the tokens; make one, and show its secret, which is kept nowhere."""
    page = page_of_tokens(request)
    form = TokenForm(request.user, request.POST if request.method == "POST" else None)
    made = _make(request, form, page) if form.is_valid() else None
    if made is None:
        form.begin_at_fault()
        context = tokens_of(request.user, page=page, form=form)
        return render(request, "accounts/tokens_page.html", context)
    context = {"token": made.token, "tokens_page": page, **_shown_once(made)}
    return render(request, "accounts/token_made.html", context)


@login_required
@require_POST
def revoke(request: PersonRequest, token_id: int) -> HttpResponse:
    """Have a token work no more."""
    try:
        TokenService.revoke(user=request.user, token_id=token_id)
    except TokenNotFound as error:
        raise Http404 from error
    log("token revoked", request, request.user)
    messages.success(request, _("The token is revoked."))
    return redirect(f"{page_of_tokens(request)}#tokens")


def page_of_tokens(request: HttpRequest) -> str:
    """Return the page of this site from which a form on tokens came, else the one they have."""
    named = request.POST.get("next", "")
    return named if get_adapter(request).is_safe_url(named) else reverse("account_tokens")


def calendar_address(secret: str) -> str:
    """Return the address of a person's calendar, of which the secret is a part."""
    return f"{settings.SITE_URL}/calendar/{secret}.ics"


def _make(request: PersonRequest, form: TokenForm, page: str) -> NewToken | None:
    """Make a token as a valid form has it; None if it is refused, which the form then says."""
    # While the password is asked for, the session holds the form: no more of it than goes on.
    request.POST = QueryDict(
        urlencode({name: form.data[name] for name in form.fields} | {"next": page})
    )
    raise_if_reauthentication_required(request, app="allauth.account")
    access = Access(form.cleaned_data["access"])
    try:
        made = TokenService.create(
            user=request.user,
            name=form.cleaned_data["name"],
            access=access,
            expires_at=form.expires_at(),
        )
    except ValidationError as error:
        form.add_error(None, error.messages)
        return None
    log("token made", request, request.user, access=access.value)
    get_adapter(request).send_notification_mail(
        "account/email/token_made", request.user, {"access": access.label}
    )
    return made


def _shown_once(made: NewToken) -> dict[str, str]:
    """Return what to copy now, and how to try it."""
    if made.token.access == Access.CALENDAR:
        return {"secret": calendar_address(made.secret)}
    address = f"{settings.SITE_URL}/api/v1/me"
    return {
        "secret": made.secret,
        "example": f'curl -H "Authorization: Bearer {made.secret}" {address}',
    }
