"""The addresses of people's pages."""

from django.urls import path

import todos.converters  # noqa: F401  (the addresses of rows)
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
