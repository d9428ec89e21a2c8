"""Keys of requests that have created something, so that the same request creates it once."""

from django.conf import settings
from django.db import models
from django.db.models.functions import Now


class IdempotencyKey(models.Model):
    """A request that has created a todo, so that the same one again creates no other.

    Attributes:
        key: a digest of the key that the request brought along; of a page, also of the title.
        asked: a digest of what the request asked for; empty for one of a page.
        todo_id: the todo. No foreign key, as for all that has to do with `Todo`.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, db_index=False, related_name="+"
    )
    key = models.CharField(max_length=64)
    asked = models.CharField(max_length=64, default="", db_default="")
    todo_id = models.BigIntegerField()
    # Keys are kept for a day.
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(name="todos_idempotency_key", fields=["user", "key"]),
        ]
        default_permissions = ()

    def __str__(self) -> str:
        return self.key
