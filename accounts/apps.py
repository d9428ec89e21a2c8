"""The app of users and their cleanup preferences."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "accounts"
