"""A run is started with arguments: by a form made from the actor's signature, or by its lines."""

import ast
import json
import logging
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.core.management import call_command
from django.http import QueryDict
from django.test import Client
from django.urls import reverse
from dramatiq import Actor
from dramatiq.broker import get_broker
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import User
from tasks.actors import todo_cleanup
from tasks.engine.console.start_form import StartForm, helps_of, values_of
from tasks.engine.console.start_lines import command_line, python_lines, schedule_address
from tasks.engine.models import Schedule, State, TaskRun, Trigger
from tests.actors import starting
from tests.admin_pages import HOSTILE, Page, log_in_staff
from tests.examples import examples
from tests.factories import new_run, new_trash

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]

TASKS = "/admin/background/tasks/"
CLEANUP = f"{TASKS}todo.cleanup/start/"
ADD_SCHEDULE = "/admin/tasks/schedule/add/"
MINUTE_BY_MINUTE = {
    "name": "",
    "crontab": "* * * * *",
    "every": "",
    "timezone": "",
    "once_at_0": "",
    "jitter_seconds": "0",
    "overlap": "skip",
    "catch_up_seconds": "60",
}
ACTORS: list[Actor[..., Any]] = [
    starting.typed,
    starting.loose,
    starting.quoted,
    starting.checked,
]


@pytest.fixture(autouse=True)
def _known_here_alone() -> Iterator[None]:
    """Have the broker know the actors of these tests, and forget them afterwards."""
    broker = get_broker()
    for actor in ACTORS:
        broker.actors[actor.actor_name] = actor
    yield
    for actor in ACTORS:
        del broker.actors[actor.actor_name]


@pytest.fixture
def boss(transactional_db: None, client: Client) -> Client:
    client.force_login(User.objects.create_superuser("boss"))
    return client


def form_of(actor: Actor[..., Any], *as_json: str, **typed: str) -> StartForm:
    """Return a form of an actor into which this was typed."""
    data = QueryDict(mutable=True)
    for name in StartForm(actor).fields:
        data[f"argument-{name}"] = typed.get(name, "")
    return StartForm(actor, data, as_json=as_json)


def arguments(form: StartForm) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
    assert form.is_valid(), form.errors
    message = form.message()
    return message.args, message.kwargs


def page_of(client: Client, address: str) -> str:
    return page_html(client.get(address))


def shown(html: str, name: str) -> str:
    """Return a line that does the same, as a page shows it; empty if it shows none."""
    found = re.search(rf'id="same-{name}">(.*?)</pre>', html, re.DOTALL)
    return unescape(found[1]) if found else ""


def page_html(response: Any) -> str:
    """Return the HTML of a page that breaks no policy."""
    assert response.status_code == 200
    html: str = response.content.decode()
    assert Page(html).blocked == []
    return html


# The fields.


def test_each_type_has_its_field_and_empty_means_the_default() -> None:
    kinds = {name: type(field).__name__ for name, field in StartForm(starting.typed).fields.items()}
    assert kinds == {
        "number": "IntegerField",
        "text": "Text",
        "part": "FloatField",
        "flag": "Choice",
        "day": "ISOText",
        "at": "ISOText",
        "size": "Choice",
        "colour": "Choice",
        "limit": "IntegerField",
        "maybe": "JSONText",
        "anything": "JSONText",
    }
    args, kwargs = arguments(
        form_of(
            starting.typed,
            text="Ada\r\nLovelace ",
            number="7",
            part="0.25",
            flag="false",
            day="2026-03-10",
            at="2026-03-10T02:00:00Z",
            size="3",
            colour='"b"',
            limit="12",
            maybe="null",
            anything="[1, 2]",
        )
    )
    assert args == (7, "Ada\nLovelace ")
    assert kwargs == {
        "part": 0.25,
        "flag": False,
        "day": "2026-03-10",
        "at": "2026-03-10T02:00:00Z",
        "size": 3,
        "colour": "b",
        "limit": 12,
        "maybe": None,
        "anything": [1, 2],
    }
    assert arguments(form_of(starting.checked)) == ((), {})
    assert arguments(form_of(todo_cleanup, keep_days="3")) == ((), {"keep_days": 3})


def test_required_default_and_docstring_are_told() -> None:
    fields = StartForm(starting.typed).fields
    assert fields["number"].required
    assert fields["number"].help_text == "how many there are, in all. Required."
    assert fields["text"].help_text == "whom to greet. Empty: 'world'."
    assert fields["flag"].help_text == "Empty: True."
    assert helps_of("x\n\nArgs:\n    a: first.\n    *b: rest.\n\nReturns:\n    c: no.") == {
        "a": "first.",
        "b": "rest.",
    }


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("number", "", "required"),
        ("number", "many", "whole number"),
        ("part", "nan", "number"),
        ("flag", "perhaps", "valid choice"),
        ("day", "tomorrow", "ISO 8601, such as 2026-03-10"),
        ("at", "noon", "ISO 8601"),
        ("size", "XL", "valid choice"),
        ("maybe", "{", "not JSON"),
        ("maybe", "[" * 100_000, "not JSON"),
        ("maybe", "1" * 5_000, "not JSON"),
        ("maybe", "1e999", "written as JSON"),
        ("maybe", r'"\ud800"', "surrogate"),
        ("maybe", r'["\u0000"]', "NUL"),
    ],
)
def test_what_does_not_fit_is_told_beside_its_field(name: str, text: str, fault: str) -> None:
    form = form_of(starting.typed, **{"number": "1", name: text})
    assert not form.is_valid()
    assert list(form.errors) == [name]
    assert fault in str(form.errors[name])


def test_text_that_looks_like_an_escaped_nul_is_none() -> None:
    assert arguments(form_of(starting.typed, number="1", maybe=r'"\\u0000"'))


def test_what_the_actors_check_refuses_is_told_beside_the_field_that_it_names() -> None:
    odd = form_of(starting.checked, even="3")
    assert dict(odd.errors) == {"even": ["even must be even, not 3."]}
    other = form_of(starting.checked, note="no")
    assert dict(other.errors) == {"__all__": ["This note is not taken."]}
    assert "keep_days must be from 0" in str(form_of(todo_cleanup, keep_days="-1").errors)


def test_parameters_of_any_number_are_lists_and_objects() -> None:
    form = form_of(starting.loose, rest="[1, 2]", more='{"a b": 3}')
    assert arguments(form) == (("x", 1, 2), {"a b": 3})
    assert arguments(form_of(starting.loose, more='{"a": 3}')) == ((), {"a": 3})
    assert "JSON&#x27;s list" in str(form_of(starting.loose, rest="{}").errors)


def test_type_that_cannot_be_told_is_typed_as_json() -> None:
    kinds = [type(field).__name__ for field in StartForm(starting.quoted).fields.values()]
    assert kinds == ["JSONText", "JSONText"]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=examples(100), suppress_health_check=list(HealthCheck), deadline=None)
@given(st.fixed_dictionaries({}, optional=dict.fromkeys(("text", "flag", "size", "maybe"), JSON)))
def test_form_that_begins_with_a_runs_arguments_means_the_same(values: dict[str, Any]) -> None:
    given_values = {"number": 1, **values}
    form = StartForm(starting.typed, initial=given_values).as_typed()
    if not form.is_valid():  # Of such texts there are no runs.
        assert re.search("surrogate|NUL", str(form.errors))
        return
    message = form.message()
    bound = values_of(starting.typed, {"args": message.args, "kwargs": message.kwargs})
    assert bound is not None
    defaults = {"text": "world", "flag": True, "size": "S", "maybe": 5}
    for name, default in defaults.items():
        wanted = values.get(name, default)
        assert json.dumps(bound.get(name, default)) == json.dumps(wanted)


# What does the same.


HOSTILE_TEXTS = [
    "'; touch /tmp/x; '",
    '$(id) `id` "\\ \n\t!! %s {x}',
    "\u202e\x1b[31m\x07",
    "ä\U0001f600",
    "-x",
    "",
    HOSTILE,
]


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_lines_hold_hostile_text_as_it_is(text: str) -> None:
    for message in (
        starting.typed.message(1, text, flag=False),
        starting.loose.message("y", text, **{text: text, "class": [text]}),
    ):
        words = shlex.split(command_line(message))
        shell = ["sh", "-c", f"printf '%s\\0' {command_line(message)}"]
        in_shell = subprocess.run(shell, check=True, capture_output=True, text=True).stdout
        assert in_shell.split("\0")[:-1] == words
        assert command_line(message).isascii()
        assert command_line(message).isprintable()
        assert words[1:4] == ["manage.py", "start_run", message.actor_name]
        assert words[4::2] == ["--arguments"] * len(words[5::2])
        assert [json.loads(word) for word in words[5::2]] == [list(message.args), message.kwargs]

        assert python_lines(message).isascii()
        call = ast.parse(python_lines(message)).body[-1]
        assert isinstance(call, ast.Expr)
        assert isinstance(call.value, ast.Call)
        assert [ast.literal_eval(arg) for arg in call.value.args[1:]] == list(message.args)


def test_command_and_python_that_are_shown_start_the_run_that_the_form_starts(
    boss: Client,
) -> None:
    address = f"{TASKS}test.typed/start/"
    data = {"argument-number": "7", "argument-text": HOSTILE_TEXTS[1], "argument-flag": "false"}
    html = boss.post(address, {**data, "show": "1"}).content.decode()
    assert not TaskRun.objects.exists()
    response = boss.post(address, {**data, "start": "1"})
    by_form = TaskRun.objects.get()
    assert response.headers["Location"] == f"/admin/tasks/taskrun/{by_form.pk}/change/"
    assert by_form.arguments["args"] == [7, HOSTILE_TEXTS[1]]
    assert by_form.trigger == Trigger.ADMIN
    TaskRun.objects.update(state=State.CANCELLED, finished_at="2026-03-10T00:00:00Z")

    python, manage, *command = shlex.split(shown(html, "command"))
    assert (Path.cwd() / python).samefile(sys.executable)
    assert manage == "manage.py"
    call_command(*command)
    by_command = TaskRun.objects.latest("pk")
    assert (by_command.trigger, by_command.arguments) == (Trigger.COMMAND, by_form.arguments)

    exec(shown(html, "python"), {})  # noqa: S102  (that is what it is shown for)
    by_python = TaskRun.objects.latest("pk")
    assert (by_python.trigger, by_python.arguments) == (Trigger.API, by_form.arguments)
    assert len({by_form.pk, by_command.pk, by_python.pk}) == 3


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_schedule_is_added_with_the_arguments_of_the_form(boss: Client, text: str) -> None:
    address = f"{TASKS}test.loose/start/"
    more = {"text": f"{text} ä", "number": 1}
    html = boss.post(address, {"argument-more": json.dumps(more), "show": "1"}).content.decode()
    link = re.search(r'<a href="(.*?)">Add a schedule with these arguments', html)
    assert link
    response = boss.get(unescape(link[1]))
    form = response.context["adminform"].form
    assert form["task"].value() == "test.loose"
    shown = re.search(r'<textarea name="arguments".*?>\n?(.*?)</textarea>', page_html(response))
    assert shown
    assert json.loads(unescape(shown[1])) == more
    sent = {**MINUTE_BY_MINUTE, "task": "test.loose", "arguments": unescape(shown[1])}
    assert boss.post(ADD_SCHEDULE, sent).status_code == 302
    assert Schedule.objects.get(task="test.loose").arguments == more


def test_no_schedule_is_offered_where_it_could_not_have_the_arguments(client: Client) -> None:
    assert schedule_address(starting.loose.message(first="y", a=[1]))
    assert not schedule_address(starting.loose.message("y"))
    assert not schedule_address(starting.loose.message(a="x" * 2_000))
    log_in_staff(client, "view_taskrun", "start_taskrun")
    assert "Add a schedule" not in page_of(client, CLEANUP)


def test_arguments_in_an_address_that_are_none_are_shown_and_refused(boss: Client) -> None:
    response = boss.get(ADD_SCHEDULE, {"task": "test.loose", "arguments": "{oh no" + HOSTILE})
    assert "{oh no" in page_html(response)
    sent = {**MINUTE_BY_MINUTE, "task": "test.loose", "arguments": "{oh no"}
    response = boss.post(ADD_SCHEDULE, sent)
    assert "valid JSON" in page_html(response)


def test_parameters_of_the_task_are_told_while_its_schedule_is_written(boss: Client) -> None:
    sent = {**MINUTE_BY_MINUTE, "task": "test.typed", "arguments": '{"text": 1}'}
    html = page_html(boss.post(reverse("background:coming-times"), sent))
    assert "<dt><code>text</code></dt><dd>whom to greet. Empty: &#x27;world&#x27;.</dd>" in html
    html = page_html(boss.post(reverse("background:coming-times"), {**sent, "task": ""}))
    assert "The arguments of" not in html


def test_actor_that_no_module_names_is_asked_of_the_broker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    message = todo_cleanup.message(keep_days=3)
    assert python_lines(message).splitlines()[0] == "from tasks.actors import todo_cleanup"
    assert python_lines(message).endswith("enqueue(todo_cleanup, keep_days=3)")
    monkeypatch.delattr(starting, "quoted")
    nameless = starting.typed.message(1).copy(actor_name="test.quoted", args=(2,))
    assert "enqueue(get_broker().get_actor('test.quoted'), 2)" in python_lines(nameless)


# The pages.


def test_tasks_are_listed_with_what_they_do_their_queue_and_their_schedule(boss: Client) -> None:
    from tasks.engine.scheduler.defaults import add_missing_schedules  # noqa: PLC0415

    add_missing_schedules()
    html = page_of(boss, TASKS)
    for name in get_broker().actors:
        assert f'tasks/{name}/charts/">{name}</a></th>' in html
    assert "Sweep the completed todos of everyone who takes part." in html
    assert "At 02:00 every day (UTC)" in html
    assert f'href="{CLEANUP}"' in html


def test_who_may_not_start_a_task_sees_it_and_no_form(client: Client) -> None:
    log_in_staff(client, "view_taskrun", "start_taskrun")
    html = page_of(client, TASKS)
    assert f"{TASKS}todo.purge/start/" not in html
    assert client.get(CLEANUP).status_code == 200
    for send in (client.get, client.post):
        assert send(f"{TASKS}todo.purge/start/").status_code == 403
    assert client.get(f"{TASKS}no.such/start/").status_code == 404


def test_form_shows_what_does_the_same_before_anything_is_typed_if_nothing_is_required(
    boss: Client,
) -> None:
    html = page_of(boss, CLEANUP)
    assert shown(html, "command").endswith(" manage.py start_run todo.cleanup")
    assert "keep_days" in html
    assert "instead of TODO_KEEP_COMPLETED_DAYS. May be empty." in html
    assert "Not yet:" in page_of(boss, f"{TASKS}test.typed/start/")


def test_error_stands_beside_its_field_and_nothing_is_lost(boss: Client) -> None:
    typed = {"argument-keep_days": "soon", "argument-batch_size": "20", "start": "1"}
    html = boss.post(CLEANUP, typed).content.decode()
    assert 'value="soon"' in html
    assert 'value="20"' in html
    assert re.search(r'id="id_argument-keep_days_error"[^>]*>\s*<li>Enter a whole number', html)
    assert re.search(r'<input[^>]*name="argument-keep_days"[^>]*aria-invalid="true"', html)
    assert not TaskRun.objects.exists()


def test_form_of_a_schedule_begins_with_its_arguments(boss: Client, client: Client) -> None:
    schedule = Schedule.objects.create(
        task="todo.cleanup", name="emma", every=60, arguments={"keep_days": 7}
    )
    address = f"{CLEANUP}?schedule={schedule.pk}"
    assert address in page_of(boss, "/admin/background/")
    assert re.search(r'name="argument-keep_days" value="7"', page_of(boss, address))
    assert boss.get(f"{TASKS}todo.purge/start/?schedule={schedule.pk}").status_code == 404
    for wrong in ("x", "9" * 30, "-1"):
        assert boss.get(f"{CLEANUP}?schedule={wrong}").status_code == 404
    log_in_staff(client, "view_taskrun", "start_taskrun")
    assert client.get(address).status_code == 403
    assert address not in page_of(client, "/admin/background/")


def test_htmx_gets_the_lines_alone(boss: Client) -> None:
    typed = {"argument-keep_days": "3"}
    html = boss.post(CLEANUP, typed, headers={"HX-Request": "true"}).content.decode()
    assert shown(html, "python").endswith("enqueue(todo_cleanup, keep_days=3)")
    assert "<form" not in html
    assert not TaskRun.objects.exists()


def test_second_run_of_a_task_is_refused_with_what_was_typed(boss: Client) -> None:
    typed = {"argument-keep_days": "3", "start": "1"}
    boss.post(CLEANUP, typed)
    first = TaskRun.objects.get()
    response = boss.post(CLEANUP, typed)
    assert f"Run {first.pk} of todo.cleanup is unfinished." in response.content.decode()
    assert 'value="3"' in response.content.decode()
    assert TaskRun.objects.count() == 1


def test_task_with_a_question_asks_it_and_keeps_what_was_typed(boss: Client, alice: User) -> None:
    purge = f"{TASKS}todo.purge/start/"
    new_trash(alice, each=3, trashed_at="2026-01-01T00:00:00Z")
    typed = {"argument-days": "1", "start": "1"}
    question = boss.post(purge, typed)
    assert not TaskRun.objects.exists()
    fields = dict(question.context["question"].fields)
    assert fields == typed
    changed = boss.post(purge, {**fields, "confirmed": "1", "show": "1"})
    assert 'value="1"' in changed.content.decode()
    assert not TaskRun.objects.exists()
    boss.post(purge, {**fields, "confirmed": "1"})
    assert TaskRun.objects.get().arguments == {"args": [], "kwargs": {"days": 1}}


def test_form_begins_with_the_arguments_of_a_run(boss: Client) -> None:
    run = new_run(arguments={"args": [], "kwargs": {"keep_days": 3}})
    html = page_of(boss, f"{CLEANUP}?from={run.pk}")
    assert shown(html, "python").endswith("enqueue(todo_cleanup, keep_days=3)")
    assert f"{CLEANUP}?from={run.pk}" in page_of(boss, f"/admin/tasks/taskrun/{run.pk}/change/")

    odd = new_run(arguments={"args": [], "kwargs": {"keep_days": "three"}})
    html = page_of(boss, f"{CLEANUP}?from={odd.pk}")
    assert '<input type="hidden" name="as_json" value="keep_days">' in html
    assert "must be a whole number, not &#x27;three&#x27;" in html

    old = new_run(arguments={"args": [], "kwargs": {"gone": 3}})
    assert "does not take the arguments" in page_of(boss, f"{CLEANUP}?from={old.pk}")


@pytest.mark.parametrize("number", ["0", "x", "9" * 30, "9" * 6_000, "-1", "٣"])
def test_run_that_is_not_there_begins_no_form(boss: Client, number: str) -> None:
    assert boss.get(CLEANUP, {"from": number}).status_code == 404


def test_arguments_of_a_run_are_for_those_who_may_see_them(client: Client) -> None:
    log_in_staff(client, "view_taskrun", "start_taskrun")
    run = new_run(arguments={"args": [], "kwargs": {"keep_days": 3}})
    assert client.get(f"{CLEANUP}?from={run.pk}").status_code == 403


def test_hostile_arguments_are_shown_inert(boss: Client) -> None:
    new = new_run(task="test.typed", arguments={"args": [1, HOSTILE], "kwargs": {}})
    html = page_of(boss, f"{TASKS}test.typed/start/?from={new.pk}")
    assert "<script>alert" not in html
    response = boss.post(f"{TASKS}test.typed/start/", {"argument-text": HOSTILE, "start": "1"})
    assert "<script>alert" not in response.content.decode()


def test_what_was_typed_is_in_no_line_of_the_log(
    boss: Client, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    address = f"{TASKS}test.typed/start/"
    boss.post(address, {"argument-number": "7", "argument-text": "buy a ring", "start": "1"})
    boss.post(address, {"argument-number": "seven", "argument-text": "buy a ring", "start": "1"})
    assert TaskRun.objects.get().arguments["args"] == [7, "buy a ring"]
    assert "buy a ring" not in caplog.text + "".join(capfd.readouterr())
    assert "ring" not in LogEntry.objects.get().change_message
