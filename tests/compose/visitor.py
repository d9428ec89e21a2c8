"""People, behind a proxy that terminates TLS: what that one would send on is sent here."""

import re
from http.client import HTTPConnection, HTTPException, HTTPResponse
from time import perf_counter
from urllib.parse import urlencode

HOST = "tidy.example"
PASSWORD = "a quiet evening"


class Answer:
    """What came back.

    Attributes:
        status: 0 if nothing did.
        seconds: how long it took.
    """

    def __init__(self, status: int, body: str, headers: dict[str, str], seconds: float) -> None:
        self.status = status
        self.body = body
        self.headers = headers
        self.seconds = seconds


class Visitor:
    """A browser, which keeps its cookies.

    Attributes:
        address: where the operator's proxy says that it comes from.
    """

    def __init__(self, port: int, address: str = "203.0.113.7", *, https: bool = True) -> None:
        self.address = address
        self._port = port
        self._cookies: dict[str, str] = {}
        self._https = https

    def get(self, path: str, *, seconds: float = 30) -> Answer:
        return self._ask("GET", path, None, seconds)

    def post(self, path: str, *, seconds: float = 30, **fields: str) -> Answer:
        """Send a form, with the token that the last page gave."""
        fields["csrfmiddlewaretoken"] = self._cookies.get("csrftoken", "")
        return self._ask("POST", path, urlencode(fields), seconds)

    def log_in(self, name: str) -> bool:
        """Log in by the form; say whether that went well."""
        self.get("/accounts/login/")
        answer = self.post("/accounts/login/", login=name, password=PASSWORD)
        return answer.status == 302 and "sessionid" in self._cookies

    def add(self, title: str, *, seconds: float = 30) -> Answer:
        return self.post("/todos/add/", title=title, seconds=seconds)

    def _ask(self, method: str, path: str, body: str | None, seconds: float) -> Answer:
        began = perf_counter()
        connection = HTTPConnection("127.0.0.1", self._port, timeout=seconds)
        try:
            connection.request(method, path, body, self._headers(method))
            response = connection.getresponse()
            text = response.read().decode(errors="replace")
        except (OSError, HTTPException) as error:
            return Answer(0, repr(error), {}, perf_counter() - began)
        finally:
            connection.close()
        self._keep_cookies(response)
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, text, headers, perf_counter() - began)

    def _headers(self, method: str) -> dict[str, str]:
        cookies = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        headers = {"Host": HOST, "Cookie": cookies}
        # The first address is one that the visitor made up, the second is what the proxy saw.
        headers["X-Forwarded-For"] = f"198.51.100.66, {self.address}"
        if self._https:
            headers["X-Forwarded-Proto"] = "https"
        if method == "POST":
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            headers["Referer"] = f"{'https' if self._https else 'http'}://{HOST}/"
        return headers

    def _keep_cookies(self, response: HTTPResponse) -> None:
        for line in response.headers.get_all("Set-Cookie", []):
            if match := re.match(r"(\w+)=([^;]*)", line):
                self._cookies[match[1]] = match[2].strip('"')
