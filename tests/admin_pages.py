"""The admin as staff see it: who is logged in, and what is on a page."""

import re
from html.parser import HTMLParser

from django.contrib.auth.models import Permission
from django.test import Client

from accounts.models import User

#: A script, an end of the attribute and the tag it stands in, text from right to left, 200 letters.
HOSTILE = "<script>alert(1)</script>\"'></a></td>\u202e{{ 7 }}".ljust(200, "x")


def log_in_staff(client: Client, *permissions: str) -> User:
    """Log in a member of staff who has these permissions alone, such as `view_todo`."""
    staff = User.objects.create_user("staff", is_staff=True)
    found = Permission.objects.filter(codename__in=permissions)
    assert found.count() == len(permissions)
    staff.user_permissions.set(found)
    client.force_login(staff)
    return staff


class Page(HTMLParser):
    """What a browser would make of a page.

    Attributes:
        rows: the text of the cells of the list's rows.
        blocked: what a policy of `default-src 'self'` would keep from working.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.blocked: list[str] = []
        self._in_list = False
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect rows and cells, and note what is inline."""
        given = dict(attrs)
        if tag == "table":
            self._in_list = given.get("id") == "result_list"
        elif tag == "tr" and self._in_list:
            self.rows.append([])
        elif tag in {"td", "th"} and self._in_list:
            self.rows[-1].append("")
        source = given.get("src") or given.get("href") or ""
        elsewhere = tag in {"script", "link", "img"} and not re.match(r"/\w", source)
        if elsewhere or tag == "style" or "style" in given:
            self.blocked.append(f"<{tag} {given}>")
        self.blocked += [f"<{tag} {name}>" for name in given if name.startswith("on")]

    def handle_endtag(self, tag: str) -> None:
        if tag == "table":
            self._in_list = False

    def handle_data(self, data: str) -> None:
        if self._in_list and self.rows and self.rows[-1]:
            self.rows[-1][-1] += data.strip()
