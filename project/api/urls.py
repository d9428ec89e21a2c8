"""The addresses of the API."""

from django.urls import path

from project.api.site import api
from project.api.views import show_docs, show_document

app_name = "api"
urlpatterns = [
    path("openapi.json", show_document, name="document"),
    path("docs", show_docs, name="docs"),
    # Without ninja's root, which is no page: Django would lead to it with a slash.
    *(pattern for pattern in api.urls[0] if getattr(pattern, "name", "") != "api-root"),
]
