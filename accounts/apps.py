"""The accounts app."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """People: who they are and how they want their todos kept."""

    name = "accounts"
