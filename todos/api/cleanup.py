"""What the next cleanup would take of a person's list."""

from ninja import Query, Router

from accounts.api.callers import CallerRequest
from todos.api.answers import leaving_of, todos_out
from todos.api.cursors import page_of
from todos.api.schemas import Cursor, NextCleanup
from todos.models import Todo

router = Router(tags=["cleanup"])


@router.get(
    "/cleanup/next",
    response=NextCleanup,
    operation_id="previewCleanup",
    summary="What tonight would take",
)
def preview_cleanup(request: CallerRequest, given: Query[Cursor]) -> NextCleanup:
    """The todos that the next cleanup takes by the site's keep time or yours, if nothing changes.

    A cleanup that is late, or that staff start or schedule with a keep time of its own or for
    one person, is not foreseen.
    """
    user = request.auth.user
    leaving = leaving_of(user)
    due_at = leaving.next_cleanup
    todos = Todo.objects.filter(user=user).completed()
    if due_at is None or not leaving.takes_part:
        todos = todos.none()
    else:
        todos = todos.due_for_person(as_of=due_at, keep_days=leaving.keep_days)
    page, cursor = page_of(todos, given)
    return NextCleanup(
        due_at=due_at,
        takes_part=leaving.takes_part,
        count=todos.count(),
        items=todos_out(page, leaving),
        next_cursor=cursor,
    )
