"""The admin of people.

It knows of todos what their relation to a person and their own list in the admin are called; the
code of todos builds on people, not the other way round.
"""

from typing import TYPE_CHECKING, Any, Protocol

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth import admin as auth
from django.contrib.auth.models import Group
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html

from accounts.deletion import Deleted, LargeDeletion
from accounts.models import User, UserQuerySet
from accounts.rights import RIGHTS, may_manage
from accounts.services import AccountKept, UserService
from accounts.staff import StaffRequest, as_selection

if TYPE_CHECKING:
    DjangoUserAdmin = auth.UserAdmin[User]
    DjangoGroupAdmin = auth.GroupAdmin
else:
    DjangoUserAdmin = auth.UserAdmin
    DjangoGroupAdmin = auth.GroupAdmin

PREFERENCES = ("auto_cleanup", "keep_completed_days")


class ListedPerson(Protocol):
    """A user as `PeopleList` hands them to the columns.

    Attributes:
        open_todos: how many there are.
        completed_todos: how many there are.
        todos_url: where to see todos; None for those who may not.
    """

    pk: int
    open_todos: int
    completed_todos: int
    todos_url: str | None


class PeopleList(ChangeList):
    """The list of people, and how many todos they have."""

    def get_results(self, request: HttpRequest) -> None:
        """Count the todos of the people on the page, in one query.

        Counted in the query that finds the page, every todo there is would be joined first.
        """
        super().get_results(request)
        self.result_list = list(self.result_list)
        counts = {
            row["pk"]: row
            for row in User.objects.filter(pk__in=[person.pk for person in self.result_list])
            .values("pk")
            .annotate(
                open=Count("todos", filter=Q(todos__completed_at__isnull=True)),
                completed=Count("todos__completed_at"),
            )
        }
        may_see = any(request.user.has_perm(f"todos.{verb}_todo") for verb in ("view", "change"))
        for person in self.result_list:
            person.open_todos = counts[person.pk]["open"]
            person.completed_todos = counts[person.pk]["completed"]
            person.todos_url = reverse("admin:todos_todo_changelist") if may_see else None


@admin.register(User)
class UserAdmin(LargeDeletion, DjangoUserAdmin):
    """Django's own user admin, with preferences and todos."""

    list_display = (
        *("username", "is_active", "auto_cleanup", "keep_completed_days"),
        *("open_todos", "completed_todos", "is_staff", "email", "date_joined"),
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
        (
            "Permissions",
            {"fields": ("is_active", *RIGHTS)},
        ),
        ("Important dates", {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = (*auth.UserAdmin.add_fieldsets, ("Cleanup", {"fields": PREFERENCES}))
    # One count a page is enough. Counts for each filter ("facets") grow with the square of the
    # table.
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Keep people's rights as they are, unless a superuser asks."""
        fields = super().get_readonly_fields(request, obj)
        return fields if request.user.is_superuser else (*fields, *RIGHTS)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Refuse to have staff changed, or their passwords set, by whoever may not manage them."""
        return super().has_change_permission(request, obj) and managed(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Refuse to have staff deleted by whoever may not manage them."""
        return super().has_delete_permission(request, obj) and managed(request, obj)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Deleted:
        """Say what a deletion would take.

        Raises:
            AccountKept: somebody has to stay.
        """
        UserService.check_deletable(users=as_selection(User, objs))
        return super().get_deleted_objects(objs, request)

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Ask whether to delete a person; say why not, if they have to stay."""
        try:
            return super().delete_view(request, object_id, extra_context)
        except AccountKept as error:
            self.message_user(request, str(error), messages.ERROR)
            return redirect("admin:accounts_user_change", object_id)

    @admin.action(permissions=["delete"], description="Delete selected %(verbose_name_plural)s")
    def delete_selected(self, request: StaffRequest, queryset: Any) -> HttpResponse | None:
        """Ask whether to delete a selection; say why not, if somebody has to stay."""
        try:
            return super().delete_selected(request, queryset)
        except AccountKept as error:
            self.message_user(request, str(error), messages.ERROR)
            return None

    def delete_many(self, request: HttpRequest, queryset: UserQuerySet) -> int:
        """Delete a selection through the service."""
        return UserService.delete_selected(users=as_selection(User, queryset))

    def fate(self) -> str:
        """Say that nothing of theirs is left."""
        return "All that is theirs goes with them, at once and for good."

    def get_changelist(self, request: HttpRequest, **kwargs: object) -> type[ChangeList]:
        """Return the list that counts todos."""
        return PeopleList

    @admin.display(description="open todos")
    def open_todos(self, person: ListedPerson) -> str:
        """Show how many todos the person has to do, with a link to them."""
        return linked(person, person.open_todos, "open")

    @admin.display(description="completed todos")
    def completed_todos(self, person: ListedPerson) -> str:
        """Show how many todos of the person are done, with a link to them."""
        return linked(person, person.completed_todos, "completed")


def managed(request: HttpRequest, person: User | None) -> bool:
    """Say whether who asks may manage a person; or people at all, where nobody is named."""
    return person is None or may_manage(request, person)


admin.site.unregister(Group)


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin):
    """Groups hand out rights, so superusers alone change them."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse anybody else."""
        return bool(request.user.is_superuser)

    def has_change_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        """Refuse anybody else."""
        return bool(request.user.is_superuser)

    def has_delete_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        """Refuse anybody else."""
        return bool(request.user.is_superuser)


def linked(person: ListedPerson, count: int, state: str) -> str:
    """Return a number that leads to the todos counted, for whoever may see them."""
    if person.todos_url is None:
        return f"{count:,}"
    return format_html(
        '<a href="{}?user__id__exact={}&amp;state={}">{}</a>',
        *(person.todos_url, person.pk, state, f"{count:,}"),
    )
