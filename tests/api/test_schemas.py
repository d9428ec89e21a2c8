"""The API takes what the models take: what its document says once more is the same."""

import re
from typing import get_args

from django.conf import settings

from accounts.api.schemas import MAX_ZONE, Language, PreferencesIn, PreferencesOut
from accounts.api.schemas import Theme as ThemeOfTheApi
from accounts.models import Preferences, Theme, User
from todos.api.schemas import YEARS, TodoChanges, TodoIn
from todos.models import Todo
from todos.validators import EARLIEST_DUE, LATEST_DUE


def test_preferences_are_those_of_people() -> None:
    assert PreferencesIn.model_fields.keys() == Preferences.__annotations__.keys()
    assert PreferencesOut.model_fields.keys() == Preferences.__annotations__.keys()


def test_todo_is_created_and_changed_by_the_same_fields_which_people_edit() -> None:
    assert TodoIn.model_fields.keys() == TodoChanges.model_fields.keys()
    assert TodoIn.model_fields.keys() <= Todo.editable_fields()


def test_choices_are_those_of_people() -> None:
    assert set(get_args(Language)) == {"", *dict(settings.LANGUAGES)}
    assert set(get_args(ThemeOfTheApi)) == set(Theme.values)
    assert User._meta.get_field("time_zone").max_length == MAX_ZONE


def test_years_are_those_in_which_a_todo_can_be_due() -> None:
    years = {year for year in range(10_000) if re.match(YEARS, f"{year:04}-")}
    assert years == set(range(EARLIEST_DUE.year, LATEST_DUE.year + 1))
