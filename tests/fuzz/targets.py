"""Where requests go: every address of the site, and every form that a visitor finds."""

from collections.abc import Iterator

from django.apps import apps
from django.contrib import admin
from django.db.models import QuerySet
from django.test import Client
from django.urls import reverse

from tests.forms import Form, Page, crawl, kinds_of
from tests.fuzz.cast import Visitor
from tests.routes import routes

#: Where people's browsers begin.
STARTS = ("/", "/trash/", "/preferences/", "/search/?q=todo", "/accounts/login/")

#: Answered before any page, or never by the site's own pages.
FURTHER = ("/livez", "/readyz", "/metrics", "/static/site/site.css", "/static/../manage.py")


def addresses() -> list[str]:
    """Return all addresses, with marks where they have values."""
    return [*routes(), *FURTHER]


def forms_for(visitor: Visitor) -> list[Form]:
    """Return the forms that somebody finds, each kind once."""
    client = Client()
    client.cookies["sessionid"] = visitor.session
    pages = pages_of_staff(client) if visitor.is_staff else pages_of_people(client)
    return kinds_of(form for page in pages for form in page.forms)


def pages_of_people(client: Client) -> Iterator[Page]:
    skip = ("/accounts/logout/", "/admin/", "/static/")
    return (page for _, page in crawl(client, *STARTS, skip=skip))


def pages_of_staff(client: Client) -> Iterator[Page]:
    """Yield the console and, for each kind of rows, its list and the pages of one row."""
    starts = ["/", "/admin/", "/admin/background/", "/admin/password_change/"]
    for model in apps.get_models():
        if not admin.site.is_registered(model):
            continue
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        row = QuerySet(model).order_by("pk").first()
        starts += [reverse(f"{name}_changelist"), reverse(f"{name}_add")]
        if row:
            starts += [
                reverse(f"{name}_{page}", args=[row.pk]) for page in ("change", "delete", "history")
            ]
    for address in starts:
        response = client.get(address)
        if response.status_code == 200 and "html" in response.headers["Content-Type"]:
            page = Page(address, response.content.decode())
            yield page
            for link in sorted(page.links):
                if link.startswith("/admin/background/") and link not in starts:
                    starts.append(link)
