"""The todos app."""

from django.apps import AppConfig


class TodosConfig(AppConfig):
    """Todos: keeping them, and sweeping what is done."""

    name = "todos"
