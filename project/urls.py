"""The site's URLs."""

from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.urls import include, path

# The admin's own form would accept any number of guesses.
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]

urlpatterns = [
    path("", include("todos.pages.urls")),
    path("accounts/", include("allauth.urls")),
    path("admin/background/", include("tasks.engine.console.urls")),
    path("admin/", admin.site.urls),
]
