"""The project's settings, with Django REST framework beside what there is."""

from project.settings import *  # noqa: F403
from project.settings import INSTALLED_APPS as OF_THE_PROJECT

INSTALLED_APPS = [*OF_THE_PROJECT, "rest_framework"]
ROOT_URLCONF = "tests.benchmarks.plainly.urls"

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["tests.benchmarks.plainly.callers.TokenAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["tests.benchmarks.plainly.callers.MayDoThat"],
    "DEFAULT_THROTTLE_CLASSES": ["tests.benchmarks.plainly.callers.TokenThrottle"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "UNAUTHENTICATED_USER": None,
}
