"""The project's settings, and the tests' own app after all others."""

from project.settings import *  # noqa: F403
from project.settings import INSTALLED_APPS as OF_THE_PROJECT

INSTALLED_APPS = [*OF_THE_PROJECT, "tests.seam"]
TASKS_SCHEDULES = "tests.seam.schedules.SCHEDULES"
