"""`manage.py seed_demo`: people and todos to try Tidy with."""

import re
from datetime import UTC, datetime, timedelta
from io import StringIO
from itertools import pairwise
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db.models import Count, F
from pytest_django import Settings

from accounts.models import User
from tests.processes import Tidy
from todos.demo import seed, seed_demo
from todos.demo.words import TITLES
from todos.models import Todo

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _debug(settings: Settings) -> None:
    settings.DEBUG = True


def run(*arguments: str) -> str:
    """Run the command; return what it prints."""
    out = StringIO()
    call_command("seed_demo", *arguments, stdout=out)
    return out.getvalue()


def people() -> list[tuple[object, ...]]:
    """Return all that is random about people, without the numbers in their names."""
    fields = ("first_name", "last_name", "is_active", "auto_cleanup", "keep_completed_days")
    return list(User.objects.order_by("pk").values_list(*fields, "date_joined"))


def todos_since(last_user_id: int = 0) -> list[tuple[object, ...]]:
    """Return the todos of the people made after one, each with the place of its owner."""
    fields = ("title", "description", "due_on", "created_at", "completed_at")
    return [
        (user_id - last_user_id, *todo)
        for user_id, *todo in Todo.objects.filter(user__gt=last_user_id)
        .order_by("pk")
        .values_list("user_id", *fields)
    ]


@pytest.mark.parametrize(("users", "todos"), [(0, 0), (1, 0), (1, 7), (3, 1), (40, 500)])
def test_exactly_as_many_are_made_as_were_asked_for(db: None, users: int, todos: int) -> None:
    made = seed_demo(users=users, todos=todos, seed=1)

    assert (made.users, made.todos) == (users, todos)
    assert (User.objects.count(), Todo.objects.count()) == (users, todos)


def test_batches_make_no_difference_to_how_many_are_made(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seed, "USER_BATCH_ROWS", 7)
    monkeypatch.setattr(seed, "TODO_BATCH_ROWS", 30)
    progress: list[int] = []

    seed_demo(users=20, todos=100, seed=1, on_progress=progress.append)

    assert (User.objects.count(), Todo.objects.count()) == (20, 100)
    assert progress == [30, 30, 30, 10]


def test_same_seed_makes_the_same_people_and_todos(db: None) -> None:
    seed_demo(users=30, todos=300, seed=7, now=NOON)
    first_people, first_todos = people(), todos_since(User.objects.earliest("pk").pk - 1)
    last_id = User.objects.latest("pk").pk

    seed_demo(users=30, todos=300, seed=7, now=NOON)
    assert people() == first_people * 2
    assert todos_since(User.objects.filter(pk__gt=last_id).earliest("pk").pk - 1) == first_todos

    seed_demo(users=30, todos=300, seed=8, now=NOON)
    assert people()[60:] != first_people


def test_summary_says_what_is_there(db: None) -> None:
    made = seed_demo(users=200, todos=2_000, seed=1)

    assert made.inactive == User.objects.filter(is_active=False).count()
    assert made.opted_out == User.objects.filter(auto_cleanup=False).count()
    assert made.own_keep_time == User.objects.filter(keep_completed_days__isnull=False).count()
    assert made.without_todos == User.objects.filter(todos=None).count()
    assert made.completed == Todo.objects.completed().count()


def test_people_are_of_every_kind_that_the_cleanup_tells_apart(db: None) -> None:
    made = seed_demo(users=200, todos=0, seed=1)

    assert (made.inactive, made.opted_out, made.own_keep_time) == (10, 10, 20)
    assert (
        User.objects.filter(keep_completed_days__isnull=False)
        .values("keep_completed_days")
        .distinct()
        .count()
        > 3
    )


def test_a_few_people_have_very_many_todos_and_many_have_none(db: None) -> None:
    seed_demo(users=300, todos=9_000, seed=1)

    counts = list(User.objects.annotate(n=Count("todos")).values_list("n", flat=True))
    counts.sort(reverse=True)
    assert counts.count(0) >= 100
    assert sum(counts[:15]) > 9_000 / 3, "a twentieth of the people have a third of the todos"
    assert 0 < counts[100] < 30, "most of those who have any have fewer than the average"


def test_times_are_as_they_could_have_come_about(db: None) -> None:
    made = seed_demo(users=20, todos=5_000, seed=1, now=NOON)

    completed = Todo.objects.completed()
    assert 0.45 < made.completed / made.todos < 0.55
    assert not completed.filter(completed_at__lt=F("created_at")).exists()
    assert not completed.filter(completed_at__gt=NOON).exists()
    assert not Todo.objects.filter(created_at__gt=NOON).exists()
    assert not Todo.objects.filter(created_at__lt=F("user__date_joined")).exists()
    assert not Todo.objects.filter(due_on__lt=F("created_at__date")).exists()
    created = Todo.objects.order_by("pk").values_list("created_at", flat=True)
    assert all(earlier <= later for earlier, later in pairwise(created))


def test_completions_are_spread_over_the_months_before_now(db: None) -> None:
    seed_demo(users=20, todos=5_000, seed=1, now=NOON)

    for months in range(12):
        month = (NOON - timedelta(days=30 * (months + 1)), NOON - timedelta(days=30 * months))
        assert Todo.objects.filter(completed_at__range=month).count() > 50, f"{months} months ago"


def test_some_todos_have_a_description_and_some_are_due(db: None) -> None:
    seed_demo(users=20, todos=2_000, seed=1)

    assert 300 < Todo.objects.exclude(description="").count() < 700
    assert 600 < Todo.objects.filter(due_on__isnull=False).count() < 1_000
    assert Todo.objects.values("title").distinct().count() > 1_000


def test_every_title_fits() -> None:
    for title in TITLES:
        Todo(title=title).clean_fields(exclude={"user"})
        assert title == " ".join(title.split())


def test_nobody_can_log_in_as_a_demo_person(db: None) -> None:
    seed_demo(users=5, todos=0, seed=1)
    assert not any(person.has_usable_password() for person in User.objects.all())


def test_second_run_adds_people_with_higher_numbers_and_touches_nobody_else(alice: User) -> None:
    User.objects.create_user("zoe.zhang.41")
    kept = Todo.objects.create(user=alice, title="Mine")
    run("--users", "3", "--todos", "10")
    before = list(User.objects.order_by("pk").values()), list(Todo.objects.order_by("pk").values())

    run("--users", "3", "--todos", "10")

    after = list(User.objects.order_by("pk").values()), list(Todo.objects.order_by("pk").values())
    assert after[0][:5] == before[0]
    assert after[1][:11] == before[1]
    assert (User.objects.count(), Todo.objects.count()) == (8, 21)
    assert list(Todo.objects.filter(user=alice)) == [kept]
    names = User.objects.order_by("pk").values_list("username", flat=True)[2:]
    assert [int(name.split(".")[2]) for name in names] == [42, 43, 44, 45, 46, 47]
    assert all(re.fullmatch(r"[a-z]+\.[a-z]+\.\d+", name) for name in names)


def test_command_says_in_one_line_what_it_made(db: None) -> None:
    assert re.fullmatch(
        r"People made: 100 \(5 inactive, 5 opted out, 10 with a keep time of their own, "
        r"\d+ without todos\)\. Todos made: 1,000 \(\d+ completed\)\.\n",
        run("--users", "100", "--todos", "1000"),
    )


@pytest.mark.e2e
def test_progress_bar_on_a_terminal_and_none_in_a_pipe(checkout: Path, tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/tidy.sqlite3"
    settings = {"DJANGO_DEBUG": "true", "DJANGO_SECRET_KEY": "x", "DATABASE_URL": database}
    tidy = Tidy(checkout, settings, logs=tmp_path)
    assert tidy.manage("migrate").returncode == 0

    piped = tidy.manage("seed_demo", "--users", "9", "--todos", "50000")
    assert (piped.returncode, piped.stderr, piped.stdout.count("\n")) == (0, "", 1)

    code, shown = tidy.at_terminal("seed_demo", "--users", "9", "--todos", "50000")
    assert code == 0
    assert "100%" in shown

    code, shown = tidy.at_terminal("seed_demo", "--users", "-9")
    assert code == 1
    assert "%" not in shown
    assert "users must not be negative" in shown


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--users", "-1"], "users must not be negative, and is -1"),
        (["--todos", "-1"], "todos must not be negative, and is -1"),
        (["--seed", "-1"], "seed must not be negative, and is -1"),
        (["--users", "0"], "todos need at least one user"),
        (
            ["--users", "99999999999"],
            "users must not be more than 10,000,000, and is 99,999,999,999",
        ),
        (["--todos", "99999999999"], "todos must not be more than 1,000,000,000"),
        (["--users", "many"], "invalid int value"),
        (["--todos", "1.5"], "invalid int value"),
    ],
)
def test_wrong_number_is_one_clear_line_and_touches_nothing(
    db: None, arguments: list[str], complaint: str
) -> None:
    with pytest.raises(CommandError, match=complaint) as refused:
        run(*arguments)
    assert "\n" not in str(refused.value)
    assert not User.objects.exists()


def test_without_debug_it_is_refused_unless_forced(db: None, settings: Settings) -> None:
    settings.DEBUG = False
    with pytest.raises(CommandError, match="DEBUG is off") as refused:
        run("--users", "2", "--todos", "2")
    assert refused.value.returncode == 1
    assert not User.objects.exists()

    run("--users", "2", "--todos", "2", "--force")
    assert User.objects.count() == 2
