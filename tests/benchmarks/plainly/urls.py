"""The site's addresses, and beside `/api/v1/todos` the same for the plain one."""

from django.urls import path

from project.urls import handler400, handler403, handler404, handler500
from project.urls import urlpatterns as of_the_project
from tests.benchmarks.plainly.views import Todos

__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]

urlpatterns = [path("api/plain/todos", Todos.as_view()), *of_the_project]
