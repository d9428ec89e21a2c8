"""A browser without a screen."""

import re
from collections.abc import Mapping
from http.client import HTTPConnection
from urllib.parse import urlencode

HOST = "tidy.example"


class Browser:
    """A browser of somebody.

    Attributes:
        cookies: those that it keeps, by name.
        page: the last page.
        headers: the last page's.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.cookies: dict[str, str] = {}
        self.page = ""
        self.headers: dict[str, str] = {}

    def get(self, path: str, **headers: str) -> int:
        """Open a page; return its status."""
        return self._ask("GET", path, None, headers)

    def post(self, path: str, form: Mapping[str, str], **headers: str) -> int:
        """Send a form, with its token; return the status of the answer."""
        fields = {**form, "csrfmiddlewaretoken": self.cookies.get("csrftoken", "")}
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return self._ask("POST", path, urlencode(fields), {**kind, **headers})

    def log_in(self, name: str, password: str) -> int:
        """Log in as people do; return the status of the answer."""
        self.get("/accounts/login/")
        return self.post("/accounts/login/", {"login": name, "password": password})

    def _ask(self, method: str, path: str, body: str | None, headers: Mapping[str, str]) -> int:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        sent = {"Host": HOST, "Cookie": cookies, **headers}
        try:
            connection.request(
                method, path, body, {name.replace("_", "-"): sent[name] for name in sent}
            )
            answer = connection.getresponse()
            self.page = answer.read().decode()
            self.headers = dict(answer.getheaders())
            for cookie in answer.headers.get_all("Set-Cookie", []):
                if match := re.match(r"(\w+)=([^;]+)", cookie):
                    self.cookies[match[1]] = match[2]
            return answer.status
        finally:
            connection.close()
