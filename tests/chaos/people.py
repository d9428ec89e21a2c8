"""What people do meanwhile, through Tidy's own services.

It runs in a process of its own, in the copy of the project (see `PEOPLE` in stage.py): a web
process without the web.
"""

import random
import signal
import sys
from collections.abc import Callable
from time import sleep
from typing import NoReturn

from django.core.exceptions import ObjectDoesNotExist
from django.db import DatabaseError, IntegrityError, InterfaceError, close_old_connections

from accounts.models import User
from accounts.services import UserService
from tests.chaos.leaving import LEAVING
from todos.models import Todo, TrashedTodo
from todos.services import TodoNotFound, TodoService

#: Between two acts (seconds), at the most.
LONGEST_PAUSE = 0.4

chance = random.SystemRandom()


def live() -> NoReturn:
    """Do one thing after the other until told to end."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    while True:
        close_old_connections()
        (act,) = chance.choices([*ACTS], [*ACTS.values()])
        try:
            act(User.objects.get(pk=some_id()))
        except (ObjectDoesNotExist, TodoNotFound, IntegrityError):
            pass  # Somebody was faster.
        except (DatabaseError, InterfaceError):
            sleep(1)  # They would see an error page.
        sleep(chance.uniform(0, LONGEST_PAUSE))


def some_id() -> int:
    """Return the id of a person who may be there."""
    last = User.objects.order_by("-pk").values_list("pk", flat=True).first() or 1
    return chance.randint(1, last)


def a_todo(user: User) -> int:
    """Return the id of one of a person's todos; 0 if they have none."""
    ids = Todo.objects.filter(user=user).values_list("pk", flat=True)
    return chance.choice(list(ids[:50]) or [0])


def add(user: User) -> None:
    """Add a todo."""
    TodoService.create(user=user, title="Added meanwhile")


def complete(user: User) -> None:
    """Complete a todo."""
    TodoService.complete(user=user, todo_id=a_todo(user))


def reopen(user: User) -> None:
    """Reopen a todo that is done."""
    done = Todo.objects.filter(user=user).completed().values_list("pk", flat=True)
    TodoService.reopen(user=user, todo_id=chance.choice(list(done[:50]) or [0]))


def edit(user: User) -> None:
    """Edit a todo."""
    TodoService.edit(
        user=user, todo_id=a_todo(user), title="Edited meanwhile", description="", due_on=None
    )


def delete(user: User) -> None:
    """Delete a todo."""
    TodoService.delete(user=user, todo_id=a_todo(user))


def restore(user: User) -> None:
    """Bring a todo back from the trash."""
    trashed = TrashedTodo.objects.filter(user=user).values_list("pk", flat=True)
    TodoService.restore(user=user, todo_id=chance.choice(list(trashed[:50]) or [0]))


def undo_the_night(user: User) -> None:
    """Restore what the last sweep removed."""
    TodoService.restore_last_sweep(user=user)


def clear(user: User) -> None:
    """Clear the list of all that is done."""
    TodoService.delete_completed_todos(user=user)


def leave(user: User) -> None:
    """Delete the account."""
    if user.pk % 10 == LEAVING:
        UserService.delete(user=user)


#: Each with how often it is chosen beside the others.
ACTS: dict[Callable[[User], None], int] = {
    add: 30,
    complete: 30,
    reopen: 20,
    edit: 10,
    delete: 10,
    restore: 10,
    undo_the_night: 2,
    clear: 2,
    leave: 5,
}
