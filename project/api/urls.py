"""The addresses of the API."""

from django.urls import path

from project.api.site import api
from project.api.views import show_docs, show_document

app_name = "api"
urlpatterns = [
    path("openapi.json", show_document, name="document"),
    path("docs", show_docs, name="docs"),
    *api.urls[0],
]
