"""What the list of people shows of their todos."""

from typing import Any, Protocol

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Count, Q
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from accounts.admin import UserAdmin
from accounts.models import User
from accounts.staff.rights import may
from todos.models import Todo

#: Where the columns of todos stand in the list of people.
PLACE = UserAdmin.list_display.index("is_staff")


class ListedUser(Protocol):
    """A user, as `UserList` passes them to the columns."""

    pk: int
    open_todos: int
    completed_todos: int
    todos_url: str | None  # The list of todos; None for staff who may not see it.


class UserList(ChangeList):
    """The list of people with the numbers of their todos."""

    def get_results(self, request: HttpRequest) -> None:
        """Count the todos of the people on the page, in one query.

        If the query that finds the page counted them, it would first join all todos.
        """
        super().get_results(request)
        self.result_list = list(self.result_list)
        counts = {
            row["pk"]: row
            for row in User.objects.filter(pk__in=[user.pk for user in self.result_list])
            .values("pk")
            .annotate(
                open=Count("todos", filter=Q(todos__completed_at__isnull=True)),
                completed=Count("todos__completed_at"),
            )
        }
        may_see = may(request, "view", Todo) or may(request, "change", Todo)
        for user in self.result_list:
            user.open_todos = counts[user.pk]["open"]
            user.completed_todos = counts[user.pk]["completed"]
            user.todos_url = reverse("admin:todos_todo_changelist") if may_see else None


admin.site.unregister(User)


@admin.register(User)
class UserWithTodosAdmin(UserAdmin):
    list_display = (
        *UserAdmin.list_display[:PLACE],
        *("open_todos", "completed_todos"),
        *UserAdmin.list_display[PLACE:],
    )

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return UserList

    @admin.display(description="open todos")
    def open_todos(self, user: ListedUser) -> str:
        return linked(user, user.open_todos, "open")

    @admin.display(description="completed todos")
    def completed_todos(self, user: ListedUser) -> str:
        return linked(user, user.completed_todos, "completed")


def linked(user: ListedUser, count: int, state: str) -> str:
    """Return a number of todos, as a link to them for staff who may see them."""
    if user.todos_url is None:
        return f"{count:,}"
    return format_html(
        '<a href="{}?user__id__exact={}&amp;state={}">{}</a>',
        *(user.todos_url, user.pk, state, f"{count:,}"),
    )
