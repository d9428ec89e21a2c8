"""What can be done with people: the only code that writes to users."""

from collections.abc import Iterator

from django.contrib.auth.password_validation import validate_password
from django.db import transaction

from accounts.models import User, UserQuerySet

#: Users held in memory at once by `UserService.list_all_users`.
CHUNK_SIZE = 2_000


class UserService:
    """The verbs of accounts."""

    @staticmethod
    def create_user(*, username: str, password: str, email: str = "") -> User:
        """Create a person who can log in.

        Args:
            username: unique; letters, digits and @ . + - _ only, 150 characters at most.
            password: must satisfy the site's password rules.
            email: may be empty.

        Raises:
            ValidationError: naming each field that is wrong, and why.
        """
        user = User(username=User.normalize_username(username), email=email)
        validate_password(password, user)
        user.set_password(password)
        user.full_clean()
        user.save(force_insert=True)
        return user

    @staticmethod
    def list_all_users() -> Iterator[User]:
        """Return every active user, by id, without ever holding all of them in memory."""
        return User.objects.active().order_by("pk").iterator(chunk_size=CHUNK_SIZE)

    @staticmethod
    def set_preferences(*, user: User, auto_cleanup: bool, keep_completed_days: int | None) -> None:
        """Say what becomes of a person's completed todos.

        Args:
            user: whose preferences; they are updated in place.
            auto_cleanup: whether the nightly cleanup sweeps their todos at all.
            keep_completed_days: how long a completed todo stays, 0 to 3,650 days; None for the
                site's default.

        Raises:
            ValidationError: the number of days is out of bounds.
        """
        preferences = ["auto_cleanup", "keep_completed_days"]
        user.auto_cleanup = auto_cleanup
        user.keep_completed_days = keep_completed_days
        others = {field.name for field in User._meta.fields}.difference(preferences)
        user.clean_fields(exclude=others)
        user.save(update_fields=preferences)

    @staticmethod
    def delete(*, user: User) -> None:
        """Delete a person with all that is theirs, at once.

        Raises:
            IntegrityError: something new of theirs has come about meanwhile, such as a todo that
                somebody restored. Nothing is deleted; try again.
        """
        UserService.delete_selected(users=User.objects.get_queryset().filter(pk=user.pk))

    @staticmethod
    def delete_selected(*, users: UserQuerySet) -> int:
        """Delete people with all that is theirs, at once; return how many people went.

        What is theirs is not loaded, as long as it points at them by a foreign key that cascades,
        and nobody listens to its deletion.

        Raises:
            IntegrityError: as for `delete`.
        """
        with transaction.atomic():
            _, per_model = users.delete()
        return per_model.get(User._meta.label, 0)
