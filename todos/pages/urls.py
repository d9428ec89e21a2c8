"""The addresses of people's pages."""

from django.urls import path, register_converter
from django.urls.converters import IntConverter

from todos.bounds import MAX_ID
from todos.pages import (
    account,
    adding,
    changes,
    editing,
    export,
    preferences,
    receipts,
    search,
    todo_list,
    trash,
    trash_actions,
)


class RowConverter(IntConverter):
    """The id of a row, in an address."""

    def to_python(self, value: str) -> int:
        """Return the id; of a number that none can have, the address is not found."""
        if len(value) > len(str(MAX_ID)) or int(value) > MAX_ID:
            raise ValueError
        return int(value)


register_converter(RowConverter, "row")

app_name = "todos"
urlpatterns = [
    path("", todo_list.show, name="list"),
    path("completed/", todo_list.show_completed, name="completed"),
    path("search/", search.search, name="search"),
    path("shortcuts/", todo_list.show_shortcuts, name="shortcuts"),
    path("todos/add/", adding.add, name="add"),
    path("todos/clear/", changes.clear, name="clear"),
    path("todos/complete/", changes.complete, name="complete"),
    path("todos/reopen/", changes.reopen, name="reopen"),
    path("todos/delete/", changes.delete, name="delete"),
    path("todos/set-due/", changes.set_due, name="set_due"),
    path("todos/<row:todo_id>/edit/", editing.edit, name="edit"),
    path("trash/", trash.show, name="trash"),
    path("trash/restore/", trash_actions.restore, name="restore"),
    path("trash/restore-night/", trash_actions.restore_night, name="restore_night"),
    path("trash/restore-cleared/", trash_actions.restore_cleared, name="restore_cleared"),
    path("trash/delete/", trash_actions.delete_forever, name="delete_forever"),
    path("trash/empty/", trash_actions.empty_trash, name="empty_trash"),
    path("preferences/", preferences.show, name="preferences"),
    path("export.json", export.as_json, name="export_json"),
    path("export.csv", export.as_csv, name="export_csv"),
    path("delete-account/", account.delete, name="delete_account"),
    path("goodbye/", account.goodbye, name="goodbye"),
    path("unsubscribe/<str:token>/", receipts.unsubscribe, name="unsubscribe"),
]
