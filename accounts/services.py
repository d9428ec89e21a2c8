"""What can be done with people: the only code that writes to users."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, TypedDict, Unpack

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import Preferences, Session, User, UserQuerySet

#: Users that `UserService.list_all_users` holds in memory at once.
CHUNK_USERS = 2_000

#: Users that an error names.
MAX_NAMED_USERS = 5

#: Accounts with one address that are looked at; more than there are.
MAX_SHARING_USERS = 20

#: Rows that one statement of `SessionService.clear` deletes.
CLEARED_ROWS = 1_000

#: Before that, the session itself may still be on its way into the database.
SETTLED = timedelta(hours=1)


class SessionNotFound(Exception):  # noqa: N818  (as Django's own DoesNotExist)
    """The person has no such session."""


class ClearedSessions(TypedDict):
    """How many rows `SessionService.clear` has deleted."""

    sessions: int
    session_details: int


class AccountKept(Exception):  # noqa: N818  (it says what happened, as Django's own do)
    """An account must stay: with it, the log would lose what its owner did as staff."""


class UserService:
    """The verbs of accounts."""

    @staticmethod
    def create_user(*, username: str, password: str, email: str = "") -> User:
        """Create a user who can log in.

        Args:
            username: unique; letters, digits and @ . + - _ only, 150 characters at most.
            password: must satisfy the site's password rules.
            email: may be empty.

        Raises:
            ValidationError: names each field that is wrong, and why.
        """
        # Whatever is swept from now on is news to them, however long they stay away.
        now = timezone.now()
        user = User(username=User.normalize_username(username), email=email, sweeps_seen_until=now)
        validate_password(password, user)
        user.set_password(password)
        user.full_clean()
        user.save(force_insert=True)
        return user

    @staticmethod
    def sign_up(*, username: str, password: str, address: str = "", time_zone: str = "") -> User:
        """Create somebody who signs up by themselves.

        An address waits beside the account until it is confirmed, and the account with it. Anybody
        can give any address: until then it is nobody's, it gets no mail but one that asks, and logs
        nobody in. The row that waits is written with the account, or neither is.

        Args:
            username: as for `create_user`; no other may have it in other capitals.
            password: as for `create_user`.
            address: may be empty, where none is asked for.
            time_zone: may be empty, for the site's.

        Raises:
            ValidationError: names each field that is wrong, and why.
        """
        taken = ValidationError({"username": _("Somebody has just taken this user name.")})
        try:
            with transaction.atomic():
                if User.objects.get_queryset().called(username).exists():
                    raise taken
                user = UserService.create_user(username=username, password=password)
                UserService.set_preferences(user=user, time_zone=time_zone)
                if address:
                    EmailAddress.objects.create(user=user, email=address.lower(), primary=True)
        except IntegrityError as error:  # In the same moment.
            raise taken from error
        return user

    @staticmethod
    def owner_of(*, address: str) -> User | None:
        """Return the one person whose email address this is, in any capitals.

        They have confirmed it, or it is their `email`, which only staff set without that. One that
        waits to be confirmed is nobody's. Of several people to whom staff gave it, the oldest
        active account has it.
        """
        address = address.lower()
        confirmed = EmailAddress.objects.filter(email=address, verified=True)
        if theirs := confirmed.select_related("user").first():
            owner: User = theirs.user
            return owner
        given = User.objects.get_queryset().at_address(address).order_by("-is_active", "pk")
        # The database may take letters for each other that mail servers tell apart.
        same = (user for user in given[:MAX_SHARING_USERS] if user.email.lower() == address)
        return next(same, None)

    @staticmethod
    def get(*, user_id: int) -> User:
        """Return a user.

        Raises:
            User.DoesNotExist: there is no such user (any more).
        """
        return User.objects.get(pk=user_id)

    @staticmethod
    def lock(*, user: User) -> User:
        """Return a user as they are now; nobody else changes them until the transaction ends."""
        return User.objects.get_queryset().select_for_update(no_key=True).get(pk=user.pk)

    @staticmethod
    def list_all_users() -> Iterator[User]:
        """Return all active users, by id, without ever holding all of them in memory."""
        return User.objects.active().order_by("pk").iterator(chunk_size=CHUNK_USERS)

    @staticmethod
    def reachable() -> UserQuerySet:
        """Return the active users to whom mail may be sent, at their `email`.

        Where addresses have to be confirmed, only one that its owner has confirmed gets mails:
        not one that staff gave them, nor one from before there was a mail server.
        """
        people = User.objects.active().exclude(email="")
        if settings.ACCOUNT_EMAIL_VERIFICATION == "none":
            return people
        theirs = EmailAddress.objects.filter(user=OuterRef("pk"), verified=True)
        theirs = theirs.alias(lower=Lower("email")).filter(lower=Lower(OuterRef("email")))
        return people.filter(Exists(theirs))

    @staticmethod
    def set_preferences(*, user: User, **preferences: Unpack[Preferences]) -> None:
        """Set preferences of a user; those that are not given stay as they are.

        Args:
            user: updated in place.
            preferences: by the names of `User`'s fields. `keep_completed_days` is how long a
                completed todo stays, 0 to 3,650 days; None for the site's default.

        Raises:
            ValidationError: names each one that is not accepted, and why; nothing is changed.
        """
        changed = [name for name, value in preferences.items() if getattr(user, name) != value]
        for name, value in preferences.items():
            setattr(user, name, value)
        others = {field.name for field in User._meta.fields}.difference(preferences)
        user.clean_fields(exclude=others)
        if "wants_receipt" in changed and user.wants_receipt:
            user.receipt_since = timezone.now()
            changed.append("receipt_since")
        if changed:
            user.save(update_fields=changed)

    @staticmethod
    def set_sweeps_seen(*, user: User, until: datetime) -> None:
        """Note that a person has been shown the sweeps up to a moment, in whichever window.

        Of two windows that show them at once, the one that saw less changes nothing.

        Args:
            user: updated in place.
            until: when the last of them was.
        """
        earlier = Q(sweeps_seen_until__isnull=True) | Q(sweeps_seen_until__lt=until)
        User.objects.get_queryset().filter(earlier, pk=user.pk).update(sweeps_seen_until=until)
        user.sweeps_seen_until = until

    @staticmethod
    def set_password(*, user: User, password: str) -> None:
        """Set a password that satisfies the site's rules. All sessions of the user end by it."""
        user.set_password(password)
        user.save(update_fields=["password"])

    @staticmethod
    def set_address(*, user: User, address: str) -> None:
        """Set the email address of a user."""
        user.email = address.lower()
        user.save(update_fields=["email"])

    @staticmethod
    def forget_other_addresses(*, user: User) -> None:
        """Delete the addresses by which a user can log in or was to, but for the one in use."""
        EmailAddress.objects.filter(user=user).exclude(email__iexact=user.email).delete()

    @staticmethod
    def remove_second_factors(*, users: UserQuerySet) -> int:
        """Delete the authenticator apps, passkeys and recovery codes of users; log them out.

        Their sessions would go on as those of somebody who has proved a second factor.

        Returns:
            How many users had one.
        """
        theirs = Authenticator.objects.filter(user__in=users)
        count: int = theirs.values("user").distinct().count()
        Session.objects.filter(user__in=theirs.values("user")).delete()
        theirs.delete()
        return count

    @staticmethod
    def delete(*, user: User) -> None:
        """Delete a user and everything that belongs to them, at once.

        Raises:
            AccountKept: they are staff, or the admin's log names them.
            IntegrityError: something new of theirs appeared meanwhile, such as a todo that
                somebody restored. Nothing is deleted; try again.
        """
        UserService.delete_selected(users=User.objects.get_queryset().filter(pk=user.pk))

    @staticmethod
    def delete_selected(*, users: UserQuerySet) -> int:
        """Delete users and everything that belongs to them, at once; return the number of users.

        Rows that belong to them are not loaded, if their foreign key cascades and no signal
        listens to their deletion.

        Raises:
            AccountKept: one of them is staff, or the admin's log names them; nobody is deleted.
            IntegrityError: as for `delete`.
        """
        with transaction.atomic():
            # While their rows are locked, none of them can do anything that would be logged.
            list(users.order_by("pk").select_for_update().values_list("pk"))
            UserService.check_deletable(users=users)
            _, per_model = users.delete()
        return per_model.get(User._meta.label, 0)

    @staticmethod
    def check_deletable(*, users: UserQuerySet) -> None:
        """Check that all of these users may be deleted.

        Raises:
            AccountKept: names some whose accounts must stay.
        """
        traces = LogEntry.objects.filter(user=OuterRef("pk"))
        kept = users.filter(Q(is_staff=True) | Q(is_superuser=True) | Exists(traces))
        names = list(kept.order_by("pk").values_list("username", flat=True)[: MAX_NAMED_USERS + 1])
        if len(names) > MAX_NAMED_USERS:
            names[MAX_NAMED_USERS:] = ["others"]
        if names:
            raise AccountKept(
                f"Nobody was deleted: {', '.join(names)} must stay: staff, or named in the "
                "log of what staff did. Deactivate such an account instead: clear its “Active” box."
            )


class SessionService:
    """The verbs of sessions: where somebody is logged in."""

    @staticmethod
    def end(*, user: User, session_id: int) -> None:
        """Log a person out where they began this session.

        Raises:
            SessionNotFound: it is somebody else's, or has ended.
        """
        details = UserSession.objects.filter(user=user, pk=session_id).first()
        if details is None:
            raise SessionNotFound
        Session.objects.filter(user=user, pk=details.session_key).delete()
        details.delete()

    @staticmethod
    def end_others(*, user: User, session_key: str) -> None:
        """Log a person out everywhere but in the session with this key."""
        Session.objects.filter(user=user).exclude(pk=session_key).delete()
        UserSession.objects.filter(user=user).exclude(session_key=session_key).delete()

    @staticmethod
    def forget(*, session_key: str) -> None:
        """Delete what is known of a session that has ended."""
        UserSession.objects.filter(session_key=session_key).delete()

    @staticmethod
    def clear() -> ClearedSessions:
        """Delete the sessions that have expired, and what is known of sessions that are gone."""
        now = timezone.now()
        own = Session.objects.filter(pk=OuterRef("session_key"))
        gone = UserSession.objects.filter(~Exists(own), created_at__lt=now - SETTLED)
        return {
            "sessions": delete_in_batches(Session.objects.filter(expire_date__lt=now)),
            "session_details": delete_in_batches(gone),
        }


def delete_in_batches(rows: QuerySet[Any]) -> int:
    """Delete rows, a few in each transaction; return how many."""
    deleted = 0
    while keys := list(rows.values_list("pk", flat=True)[:CLEARED_ROWS]):
        deleted += rows.filter(pk__in=keys).delete()[0]
    return deleted
