"""The page of a task's charts."""

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from tasks.engine.models import Schedule, State
from tasks.names import TaskName
from tests.admin_pages import Page, log_in_staff
from tests.factories import new_run, new_runs

pytestmark = pytest.mark.django_db

PAGE = "/admin/background/tasks/todo.cleanup/charts/"


@pytest.fixture
def boss(admin_client: Client) -> Client:
    """A client that may do everything."""
    return admin_client


def test_page_shows_the_charts_of_each_period_with_a_table(boss: Client) -> None:
    now = timezone.now()
    new_runs(3, started_at=now, finished_at=now)
    new_run(State.FAILED, started_at=now, finished_at=now)
    for period, words in (
        ("", "24 hours"),
        ("7d", "7 days"),
        ("30d", "30 days"),
        ("x", "24 hours"),
    ):
        html = boss.get(PAGE, {"over": period}).content.decode()
        assert f"4 runs in {words}, 1 failed." in html
        assert '<th scope="col">p95</th><th scope="col">Median</th>' in html
        assert Page(html).blocked == []


def test_page_leads_to_the_runs_and_schedules_of_its_task(boss: Client) -> None:
    own = Schedule.objects.create(task=TaskName.TODO_CLEANUP, name="own <b>", every=60)
    html = boss.get(PAGE).content.decode()
    assert f"/admin/tasks/schedule/{own.pk}/change/" in html
    assert "own &lt;b&gt;" in html


def test_page_costs_a_fixed_number_of_queries(boss: Client) -> None:
    new_runs(30, started_at=timezone.now(), finished_at=timezone.now())
    with CaptureQueriesContext(connection) as queries:
        boss.get(PAGE, {"over": "30d"})
    assert len(queries) <= 10


def test_unknown_task_has_no_page(boss: Client) -> None:
    for task in ("no.such", "../..", "%00", "x" * 3_000):
        assert boss.get(f"/admin/background/tasks/{task}/charts/").status_code in {301, 400, 404}


def test_task_of_another_version_has_a_page_as_long_as_it_has_a_schedule(boss: Client) -> None:
    Schedule.objects.create(task="gone<script>alert(1)", every=60)
    response = boss.get(reverse("background:task-charts", args=["gone<script>alert(1)"]))
    assert response.status_code == 200
    assert "<script>alert" not in response.content.decode()


def test_who_may_not_see_runs_does_not_see_it(client: Client) -> None:
    log_in_staff(client, "view_schedule")
    assert client.get(PAGE).status_code == 403
    User.objects.all().delete()
    assert client.get(PAGE).status_code == 302
