"""Who sends requests, and what is whose: marks that nobody else may ever read."""

from dataclasses import dataclass, field
from datetime import timedelta

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Permission
from django.db.models import QuerySet
from django.test import Client
from django.utils import timezone

from accounts.models import Access, Session, Token, User
from accounts.tokens.services import TokenService
from tasks.engine.models import State
from tasks.engine.scheduler.defaults import add_missing_schedules
from tasks.names import TaskName
from tests.dead_letters import bury
from tests.factories import new_process, new_run, new_todo, new_todos, trash, wants_receipt

PASSWORD = "c0rrect horse"

#: In a run's arguments, results and errors, and in dead letters.
DETAIL = "detail-of-a-run-7f3a"

#: How an error came about: in dead letters as well, for those who may see details.
TRACEBACK = "Traceback (most recent call last)"

#: Shown by none but those who may see such rows.
READERS = {
    "todo": ("view_todo", "change_todo"),
    "trash": ("view_trashedtodo",),
    "address": ("view_user", "change_user"),
}


@dataclass(frozen=True)
class Visitor:
    """Somebody who sends requests.

    Attributes:
        session: the key of theirs; empty for nobody.
        token: of theirs, for the API; if it is empty, they call it by their session.
        permissions: of staff.
    """

    name: str
    pk: int = 0
    session: str = ""
    token: str = ""
    is_staff: bool = False
    permissions: frozenset[str] = frozenset()

    @property
    def changes_nothing(self) -> bool:
        """Whether they have no right to change what is not theirs."""
        return all(name.startswith("view_") for name in self.permissions)


@dataclass
class Cast:
    """All of them, and what is in the database.

    Attributes:
        ids: of all kinds of rows.
        keys: session keys.
    """

    visitors: list[Visitor] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)

    def visitor(self, name: str) -> Visitor:
        return next(one for one in self.visitors if one.name == name)


def mark(name: str, kind: str) -> str:
    """Return what stands in a person's rows of a kind, and nowhere else."""
    return f"{kind}-of-{name}-7f3a"


def plant(broker: str) -> Cast:
    """Fill the database and the broker, and log everybody in."""
    cast = Cast()
    add_missing_schedules()
    run = new_run(task=TaskName.TODO_CLEANUP, result={"todos_deleted": 1, "note": DETAIL})
    failed = new_run(State.FAILED, error=f"ValueError: {DETAIL}", arguments={"note": DETAIL})
    waiting = new_run(State.QUEUED)
    process = new_process()
    letter = bury(broker, error=f"ValueError: {DETAIL}", note=DETAIL)
    cast.ids += [*(str(row.pk) for row in (run, failed, waiting, process)), letter]
    for name in ("alice", "bob"):
        person = User.objects.create_user(
            name, f"{mark(name, 'address')}@example.org", PASSWORD, first_name=mark(name, "address")
        )
        wants_receipt(person)
        todo = mark(name, "todo")
        todos = [
            new_todo(person, title=todo, description=todo, completed_at=None),
            *new_todos(person, each=2, title=todo),
        ]
        swept = trash(person, mark(name, "trash"), run_id=run.pk)
        LogEntry.objects.create(
            user=person, action_flag=CHANGE, object_repr=todo, change_message="[]"
        )
        cast.ids += [str(pk) for pk in (person.pk, *(one.pk for one in todos), *swept)]
        add(cast, person, token=token_of(person))
    cast.visitors.append(Visitor("nobody"))
    shown = ("accounts", "auth", "todos", "tasks", "admin")
    permissions = Permission.objects.filter(content_type__app_label__in=shown)
    for number, permission in enumerate(permissions.order_by("pk")):
        staff = User.objects.create_user(f"staff-{permission.codename}"[:150], is_staff=True)
        staff.user_permissions.set({permission, *reading(permission, permissions)})
        add(cast, staff)
        if not number:
            none = User.objects.create_user("staff-of-none", is_staff=True)
            add(cast, none)
    every = User.objects.create_user("staff-of-all", is_staff=True)
    every.user_permissions.set(permissions)
    add(cast, every)
    add(cast, User.objects.create_superuser("boss", password=PASSWORD))
    cast.keys = [one.session for one in cast.visitors if one.session]
    return cast


def reading(permission: Permission, all_: QuerySet[Permission]) -> QuerySet[Permission]:
    """Return the permission to see what another one is about: alone, it opens no page."""
    model = permission.codename.rpartition("_")[2]
    return all_.filter(codename=f"view_{'taskrun' if model == 'deadletter' else model}")


def token_of(user: User) -> str:
    """Make somebody a token; return its secret."""
    token, secret = TokenService.create(user=user, name="fuzz", access=Access.WRITE)
    # In the future, so that no request notes its use: nothing changes by a GET.
    Token.objects.filter(pk=token.pk).update(last_used_at=timezone.now() + timedelta(days=365))
    return secret


def add(cast: Cast, user: User, *, token: str = "") -> None:
    """Log somebody in, by the form if they have a password: they have just proved who they are."""
    client = Client()
    if user.has_usable_password():
        client.post("/accounts/login/", {"login": user.username, "password": PASSWORD})
    else:
        client.force_login(user)
    session = Session.objects.get(user=user)
    names = Permission.objects.filter(user=user).values_list("codename", flat=True)
    permissions = frozenset(names) if not user.is_superuser else frozenset({"superuser"})
    cast.visitors.append(
        Visitor(user.username, user.pk, session.pk, token, user.is_staff, permissions)
    )


def secrets_of(visitor: Visitor, cast: Cast) -> list[str]:
    """Return the marks that a visitor may not read."""
    kinds = [kind for kind, names in READERS.items() if not may(visitor, *names)]
    people = [one for one in ("alice", "bob") if one != visitor.name]
    hidden = [mark(name, kind) for name in people for kind in kinds]
    if not may(visitor, "view_taskrun_details"):
        hidden += [DETAIL, TRACEBACK]
    return [*hidden, *(key for key in cast.keys if key != visitor.session)]


def may(visitor: Visitor, *names: str) -> bool:
    return not visitor.permissions.isdisjoint({"superuser", *names})
