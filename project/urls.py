"""The site's URLs."""

from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from project.lazy import lazily

# The admin's own form would accept any number of guesses.
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]

handler400 = "project.errors.malformed"
handler403 = "project.errors.forbidden"
handler404 = "project.errors.not_found"
handler500 = "project.errors.server_error"

urlpatterns = [
    path("", include("todos.pages.urls")),
    path("accounts/", include("accounts.pages.urls")),
    path("admin/background/", include("tasks.engine.console.urls")),
    # Staff change their password as everybody does: it is logged, and ends their other sessions.
    path("admin/password_change/", RedirectView.as_view(pattern_name="account_change_password")),
    path("admin/", admin.site.urls),
    # What these import would cost each process tenths of a second at its start.
    lazily("api/v1/", "project.api.urls", namespace="api"),
    lazily("calendar/", "todos.pages.calendar_urls", namespace="calendar"),
]
