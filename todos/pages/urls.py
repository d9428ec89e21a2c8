"""The addresses of people's pages."""

from django.urls import path

from todos.pages import preferences, todo_list, trash

app_name = "todos"
urlpatterns = [
    path("", todo_list.show, name="list"),
    path("trash/", trash.show, name="trash"),
    path("preferences/", preferences.show, name="preferences"),
]
