"""Settings of alerts: wrong ones are named, and what they say is not repeated."""

from typing import Any

import pytest
from django.core.checks import run_checks
from pytest_django import Settings

from tasks.engine.alerts.channels import channels_of
from tasks.engine.alerts.settings import AlertSettings, faults_of

SECRET = "made-up-for-these-tests-0123456789-abcdef"
RIGHT = {
    "emails": ("ops@example.org",),
    "webhook_url": "https://alerts.example.org/hook",
    "webhook_secret": SECRET,
    "check_in_url": "https://switch.example.org/hunter2",
    "check_in_tasks": ("report",),
}


def test_right_settings_have_no_fault() -> None:
    assert list(faults_of(AlertSettings(**RIGHT))) == []  # type: ignore[arg-type]
    assert list(faults_of(AlertSettings())) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("emails", ("hunter2",)),
        ("emails", ("ops@example.org\nBcc: hunter2@example.org",)),
        ("emails", tuple(f"hunter2-{n}@example.org" for n in range(21))),
        ("webhook_url", "hunter2"),
        ("webhook_url", "https://user:hunter2@alerts.example.org/"),
        ("check_in_url", "ftp://switch.example.org/hunter2"),
        ("webhook_secret", ""),
        ("webhook_secret", "hunter2"),
        ("webhook_secret", "hunter2" * 10),
        ("webhook_secret", "x" * 100),
        ("check_in_tasks", ()),
    ],
)
def test_wrong_setting_is_named_in_a_line(name: str, value: Any) -> None:
    given: Any = RIGHT | {name: value}
    ((named, fault),) = faults_of(AlertSettings(**given))
    assert named == name
    assert "hunter2" not in fault
    assert "\n" not in fault


def test_secret_of_no_webhook_is_named() -> None:
    given: Any = RIGHT | {"webhook_url": ""}
    ((named, _),) = faults_of(AlertSettings(**given))
    assert named == "webhook_secret"


@pytest.mark.django_db  # some of the checks ask PostgreSQL for its version
def test_check_of_the_site_names_the_setting(settings: Settings) -> None:
    settings.TASKS_ALERT_WEBHOOK_URL = RIGHT["webhook_url"]
    settings.TASKS_ALERT_WEBHOOK_SECRET = "hunter2"
    found = [error for error in run_checks() if error.id == "tasks.E007"]
    assert [str(error.msg).split()[0] for error in found] == ["TASKS_ALERT_WEBHOOK_SECRET"]


def test_names_of_channels_hold_no_address_and_settings_print_no_secret() -> None:
    given = AlertSettings(**RIGHT)  # type: ignore[arg-type]
    names = [channel.name for channel in channels_of(given)]
    assert names[1:] == ["webhook", "check-in"]
    assert names[0].startswith("mail:")
    assert "example" not in "".join(names)
    assert SECRET not in repr(given)
    assert "hunter2" not in repr(given)
