"""The todos app."""

from django.apps import AppConfig


class TodosConfig(AppConfig):
    name = "todos"
