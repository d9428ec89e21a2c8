"""The admin of todos and of the trash, and what it shows of todos in the admin of people."""

from todos.admin import todo, trash, users

__all__ = ["todo", "trash", "users"]
