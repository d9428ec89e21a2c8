"""The admin of people and groups."""

from collections.abc import Sequence
from typing import Any, override

from allauth.account import admin as addresses
from allauth.account.adapter import get_adapter
from allauth.mfa import admin as second_factors
from allauth.usersessions import admin as session_details
from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE
from django.contrib.auth import admin as auth
from django.contrib.auth.forms import AdminPasswordChangeForm, UserChangeForm
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from accounts.models import User, UserQuerySet
from accounts.services import AccountKept, SessionService, UserService
from accounts.staff.deletion import Deleted, LargeDeletion
from accounts.staff.log import by_id, log_selection
from accounts.staff.rights import RIGHTS, StaffRequest, may_manage
from accounts.staff.selection import as_selection, counted, held

PREFERENCES = ("auto_cleanup", "keep_completed_days")

# Their pages would show secrets, and without rights on them nobody could delete a person.
admin.site.unregister(
    [addresses.EmailAddress, second_factors.Authenticator, session_details.UserSession]
)


class PersonForm(UserChangeForm):  # type: ignore[type-arg]  # Not generic at run time.
    """Django's own form, which takes a name that differs from another in capitals alone."""

    def clean_username(self) -> str:
        """Refuse such a name, unless it is the one they have: there may be old ones."""
        name: str = self.cleaned_data["username"]
        others = User.objects.get_queryset().called(name).exclude(pk=self.instance.pk)
        if "username" in self.changed_data and others.exists():
            raise self.instance.unique_error_message(User, ("username",))
        return name


class PasswordForm(AdminPasswordChangeForm):  # type: ignore[type-arg]  # Not generic at run time.
    """Django's own form, which tells the person by mail."""

    @override
    def save(self, commit: bool = True) -> User:
        user: User = super().save(commit)
        get_adapter().send_notification_mail("account/email/password_changed", user)
        return user


@admin.register(User)
class UserAdmin(LargeDeletion, auth.UserAdmin):  # type: ignore[type-arg]  # Not generic at run time.
    """Django's own user admin, with cleanup preferences.

    An app that shows more about people registers a subclass in its place.
    """

    form = PersonForm
    change_password_form = PasswordForm
    list_display: tuple[str, ...] = (
        *("username", "is_active", "auto_cleanup", "keep_completed_days"),
        *("is_staff", "email", "date_joined"),
    )
    list_filter = (
        *("is_active", "auto_cleanup", ("keep_completed_days", admin.EmptyFieldListFilter)),
        *("is_staff", "is_superuser", "date_joined"),
    )
    search_help_text = "Username, name or email address"
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("Personal info", {"fields": ("first_name", "last_name", "email")}),
        ("Cleanup", {"fields": PREFERENCES}),
        ("Permissions", {"fields": ("is_active", *RIGHTS)}),
        ("Important dates", {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = (*auth.UserAdmin.add_fieldsets, ("Cleanup", {"fields": PREFERENCES}))
    # One count a page is enough. Counts for each filter ("facets") grow with the square of the
    # table.
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    actions: Sequence[str] = ("delete_selected", "remove_second_factor")

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Allow only superusers to change rights."""
        fields = super().get_readonly_fields(request, obj)
        return fields if request.user.is_superuser else (*fields, *RIGHTS)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_change_permission(request, obj) and may_manage(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_delete_permission(request, obj) and may_manage(request, obj)

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        """Save a person; an address that staff have replaced no longer logs in or gets mails.

        Who becomes staff logs in for it: a session that has lasted for weeks gains nothing.
        """
        super().save_model(request, obj, form, change)
        if {"is_staff", "is_superuser"}.intersection(form.changed_data):
            SessionService.end_others(user=obj, session_key=request.session.session_key or "")
        if "email" in form.changed_data:
            UserService.forget_other_addresses(user=obj)

    def user_change_password(
        self,
        request: HttpRequest,
        id: str,  # noqa: A002  (Django's name)
        form_url: str = "",
    ) -> HttpResponse:
        """Set a person's password. Staff change their own as everybody does, by the old one."""
        if id == str(request.user.pk):
            return redirect("account_change_password")
        return super().user_change_password(request, id, form_url)

    @admin.action(permissions=["change"], description="Remove the second factor of selected users")
    def remove_second_factor(self, request: StaffRequest, queryset: UserQuerySet) -> None:
        """Let people log in by password alone who have lost their device and their codes."""
        with held(as_selection(User.objects.get_queryset(), queryset)) as (found, selection):
            if not all(may_manage(request, user) for user in found):
                raise PermissionDenied
            removed = UserService.remove_second_factors(users=selection)
            log_selection(
                request.user, found, len(found), CHANGE, "Second factor removed.", name=by_id
            )
        text = f"Second factor removed: {counted(User, removed)}."
        self.message_user(request, text, messages.SUCCESS if removed else messages.WARNING)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Deleted:
        """Describe a deletion; raise AccountKept if one of the accounts must stay."""
        UserService.check_deletable(users=as_selection(User.objects.get_queryset(), objs))
        return super().get_deleted_objects(objs, request)

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Delete a person after a confirmation; say so if the account must stay."""
        try:
            return super().delete_view(request, object_id, extra_context)
        except AccountKept as error:
            self.message_user(request, str(error), messages.ERROR)
            return redirect("admin:accounts_user_change", object_id)

    @admin.action(permissions=["delete"], description="Delete selected %(verbose_name_plural)s")
    def delete_selected(self, request: StaffRequest, queryset: Any) -> HttpResponse | None:
        """Delete a selection after a confirmation; say so if an account must stay."""
        try:
            return super().delete_selected(request, queryset)
        except AccountKept as error:
            self.message_user(request, str(error), messages.ERROR)
            return None

    def delete_many(self, request: HttpRequest, queryset: UserQuerySet) -> int:
        return UserService.delete_selected(users=queryset)

    def deletion_notice(self) -> str:
        return "Everything that belongs to them is deleted too, immediately and for good."


admin.site.unregister(Group)


@admin.register(Group)
class GroupAdmin(auth.GroupAdmin):
    """Groups grant rights, so only superusers change them."""

    def has_add_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return bool(request.user.is_superuser)

    has_change_permission = has_delete_permission = has_add_permission
