"""The addresses of people's pages."""

from django.urls import path

from todos.pages import account, export, preferences, receipts, todo_list, trash, trash_actions

app_name = "todos"
urlpatterns = [
    path("", todo_list.show, name="list"),
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
