"""Requests as they are sent, and how to make them."""

import json
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from hypothesis import strategies as st

from project.api.problems import PREFIX
from tests.forms import Form
from tests.fuzz.cast import Cast, Visitor
from tests.fuzz.hostile import BYTES, SCRIPT, encoded, texts, values
from tests.routes import filled

FORM = "application/x-www-form-urlencoded"
BOUNDARY = "x7q"
METHODS = ("GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "BREW")

#: Of a form, what our own pages and the admin's read, and what models have.
FIELDS = (
    *(
        "id",
        "pk",
        "ids",
        "todo",
        "todos",
        "run",
        "user",
        "user_id",
        "owner",
        "title",
        "description",
    ),
    *("due_at", "completed_at", "is_completed", "is_staff", "is_superuser", "is_active", "email"),
    *("password", "username", "groups", "user_permissions", "keep_completed_days", "trash_days"),
    *("next", "q", "page", "p", "o", "e", "all", "action", "index", "select_across", "_to_field"),
    *("_popup", "_selected_action", "_changelist_filters", "_save", "_continue", "_saveasnew"),
    *("user__id__exact", "completed_at__gte", "date_hierarchy", "app_label", "model_name"),
    *("field_name", "term", "csrfmiddlewaretoken", "_method", "language", "key", "token", "after"),
    *("due_on", "cleared_at", "cursor", "limit", "completed", "due", "time_zone", "theme"),
    *("form-TOTAL_FORMS", "form-INITIAL_FORMS", "form-0-id", "since", "until", "before", "format"),
)

HEADERS = (
    *("HTTP_HOST", "HTTP_X_FORWARDED_HOST", "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO"),
    *("HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_X_FORWARDED_PORT", "HTTP_X_ORIGINAL_URL"),
    *(
        "HTTP_RANGE",
        "HTTP_IF_RANGE",
        "HTTP_IF_MODIFIED_SINCE",
        "HTTP_IF_NONE_MATCH",
        "HTTP_IF_MATCH",
    ),
    *("HTTP_ACCEPT", "HTTP_ACCEPT_LANGUAGE", "HTTP_ACCEPT_ENCODING", "HTTP_USER_AGENT"),
    *("HTTP_REFERER", "HTTP_ORIGIN", "HTTP_AUTHORIZATION", "HTTP_X_REQUESTED_WITH", "HTTP_TE"),
    *(
        "HTTP_HX_REQUEST",
        "HTTP_HX_TARGET",
        "HTTP_HX_CURRENT_URL",
        "HTTP_HX_CURRENT_URL_URI_AUTOENCODED",
    ),
    *("HTTP_HX_TRIGGER", "HTTP_HX_PROMPT", "HTTP_HX_BOOSTED", "HTTP_TRIGGERING_EVENT"),
    *("HTTP_X_HTTP_METHOD_OVERRIDE", "HTTP_X_REQUEST_ID", "HTTP_TRACEPARENT", "HTTP_EXPECT"),
    *("HTTP_CONTENT_ENCODING", "HTTP_SEC_FETCH_SITE", "HTTP_IDEMPOTENCY_KEY", "REMOTE_ADDR"),
    *("HTTP_X_CSRFTOKEN", "CONTENT_LENGTH", "CONTENT_TYPE", "HTTP_COOKIE", "HTTP_UPGRADE"),
)

#: What some headers are made of; others get any hostile text.
HEADER_VALUES = (
    *(
        "true",
        "https",
        "evil.example",
        "testserver:99999",
        "[::1",
        "127.0.0.1, 10.0.0.1",
        "::ffff:1.2.3.4",
    ),
    *(
        "bytes=0-0",
        "bytes=-1,9-3",
        "Thu, 99 Foo 2026 99:99:99 GMT",
        '"x"',
        "*",
        "gzip;q=nan",
        "br, gzip;q=9",
    ),
    *(
        "de-DE,de;q=0.9,*;q=x",
        ",".join(["a"] * 500),
        "Basic eDp5",
        "Bearer x",
        "null",
        "http://testserver/x",
    ),
    *("-1", "1e9", "99999999999", "٣", "text/html; charset=utf-7", "multipart/form-data"),
    *("multipart/form-data; boundary=" + "b" * 300, "application/json", f"{FORM}; charset=rot13"),
    *("00-" + "0" * 32 + "-" + "0" * 16 + "-00", "100-continue", "websocket", "chunked"),
)

COOKIES = (
    *(
        "{}",
        "{}; sessionid={}",
        "sessionid=",
        "sessionid=%00",
        "sessionid=../../x",
        "{}\x01",
        '"{}',
    ),
    *(
        "{}; messages=W10:1x:y",
        "{}; messages=%FF",
        "{}; csrftoken=x",
        "; ; =; {}",
        "{};" + "a=b;" * 300,
    ),
)


@dataclass(frozen=True)
class Sent:
    """A request.

    Attributes:
        path: percent-encoded.
        headers: as WSGI names them; they override all others.
    """

    method: str
    path: str
    query: bytes = b""
    body: bytes = b""
    kind: str = FORM
    headers: tuple[tuple[str, str], ...] = ()

    def environ(self, visitor: Visitor, token: str) -> dict[str, str]:
        """Return it as a web server hands it on, from this visitor's browser."""
        found = {
            "REQUEST_METHOD": self.method,
            "PATH_INFO": unquote_to_bytes(self.path).decode("latin-1"),
            "QUERY_STRING": self.query.decode("latin-1"),
            "CONTENT_LENGTH": str(len(self.body)),
            "CONTENT_TYPE": self.kind,
            "HTTP_HOST": "testserver",
            "REMOTE_ADDR": "192.0.2.1",
            "HTTP_X_CSRFTOKEN": token,
            "HTTP_COOKIE": f"csrftoken={token}; {session_of(visitor)}",
        }
        if visitor.token and self.path.startswith(PREFIX):
            found["HTTP_AUTHORIZATION"] = f"Bearer {visitor.token}"
        return {**found, **dict(self.headers)}


def session_of(visitor: Visitor) -> str:
    return f"sessionid={visitor.session}" if visitor.session else "theme=dark"


def latin(text: str) -> str:
    """Return a text as a header has it: bytes, read as Latin-1, none of which ends a line."""
    sent = text.encode("utf-8", "surrogatepass").decode("latin-1")
    return sent.replace("\r", " ").replace("\n", " ")[:8_000]


def headers(visitor: Visitor, cast: Cast) -> st.SearchStrategy[tuple[tuple[str, str], ...]]:
    """Return none, or some odd headers and cookies: other people's sessions are told apart."""
    forged = st.sampled_from(["x" * 32, "", visitor.session[::-1], visitor.session.upper()])
    cookie = st.tuples(st.sampled_from(COOKIES), forged).map(
        lambda parts: (
            "HTTP_COOKIE",
            parts[0].replace("{}", session_of(visitor), 1).format(parts[1]),
        )
    )
    odd = st.tuples(
        st.sampled_from([name for name in HEADERS if name != "HTTP_COOKIE"]),
        st.one_of(st.sampled_from(HEADER_VALUES), texts()).map(latin),
    )
    htmx = st.just(("HTTP_HX_REQUEST", "true"))
    some = st.lists(st.one_of(odd, htmx, cookie), min_size=1, max_size=3).map(tuple)
    return st.one_of(st.just(()), st.just(()), some)


def pairs(
    names: st.SearchStrategy[str], ids: list[str]
) -> st.SearchStrategy[list[tuple[str, bytes]]]:
    """Return fields with hostile values; names may come twice, or as arrays."""
    name = st.one_of(names, names, names.map(lambda one: f"{one}[]"), texts())
    return st.lists(st.tuples(name, values(ids)), max_size=3)


def urlencoded(fields: list[tuple[str, bytes]]) -> bytes:
    return b"&".join(encoded(name) + b"=" + value for name, value in fields)


def multipart(fields: list[tuple[str, bytes]]) -> bytes:
    """Return a form as one with files is sent; a name may break its quotes."""
    parts = [
        b'--%b\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n%b\r\n'
        % (
            BOUNDARY.encode(),
            name.encode("utf-8", "surrogatepass"),
            b'; filename="x"' if name.endswith("[]") else b"",
            unquote_to_bytes(value),
        )
        for name, value in fields
    ]
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def json_of(fields: list[tuple[str, bytes]]) -> bytes:
    """Return a form as programs send it: with numbers, lists, and half a character as it is."""
    return json.dumps({name: json_value(name, value) for name, value in fields}).encode()


def json_value(name: str, value: bytes) -> object:
    text = unquote_to_bytes(value).decode(errors="surrogateescape")
    number: object = int(text) if text.isascii() and text.isdecimal() else text
    return [number] if name.endswith(("ids", "[]")) else number


#: How a form may be sent: most often as browsers do.
WAYS = (
    *(
        "browser",
        "browser",
        "browser",
        "browser",
        "multipart",
        "cut",
        "no boundary",
        "json",
        "no JSON",
        "bytes",
    ),
)

KINDS = (FORM, f"{FORM}; charset=utf-16", "text/xml", "", SCRIPT, "a/b; c")


def body_of(way: str, fields: list[tuple[str, bytes]]) -> tuple[bytes, str]:
    """Return a form as it is sent, and what kind it is said to be."""
    plain = urlencoded(fields)
    parts = f"multipart/form-data; boundary={BOUNDARY}"
    match way:
        case "multipart":
            return multipart(fields), parts
        case "cut":
            return multipart(fields)[:-9], parts
        case "no boundary":
            return plain, "multipart/form-data; boundary=other"
        case "json":
            return json_of(fields), "application/json"
        case "no JSON":
            return b'{"title": ["' + plain + b'"]}', "application/json"
        case _:
            return plain, FORM


def to_addresses(addresses: list[str], visitor: Visitor, cast: Cast) -> st.SearchStrategy[Sent]:
    """Return requests to addresses of the site, with any method."""
    route = st.sampled_from(addresses)
    value = st.one_of(st.sampled_from(cast.ids), texts())
    given, some_headers, raw = (
        pairs(st.sampled_from(FIELDS), cast.ids),
        headers(visitor, cast),
        bytes_(),
    )
    method = st.one_of(st.just("GET"), st.sampled_from(METHODS))
    way = st.sampled_from(WAYS)

    @st.composite
    def requests(draw: st.DrawFn) -> Sent:
        path = filled(draw(route), lambda: encoded(draw(value)).decode("ascii")[:2_000])
        verb = draw(method)
        query = urlencoded(draw(given))
        if verb == "GET":
            return Sent(verb, path, query, headers=draw(some_headers))
        chosen = draw(way)
        body, kind = draw(raw) if chosen == "bytes" else body_of(chosen, draw(given))
        return Sent(verb, path, query, body, kind, draw(some_headers))

    return requests()


def bytes_() -> st.SearchStrategy[tuple[bytes, str]]:
    content = st.one_of(st.sampled_from(BYTES), st.binary(max_size=60))
    return st.tuples(content, st.sampled_from(KINDS))


def to_forms(forms: list[Form], visitor: Visitor, cast: Cast) -> st.SearchStrategy[Sent]:
    """Return forms of the site with a few fields left out, repeated or changed."""
    some_headers, raw, way = headers(visitor, cast), bytes_(), st.sampled_from(WAYS)
    repeated = st.integers(0, 9).map(lambda number: number == 9)

    def of(form: Form) -> st.SearchStrategy[Sent]:
        names = sorted(form.fields.keys() - {"csrfmiddlewaretoken"})
        changes = pairs(st.sampled_from(names * 4 + list(FIELDS)), cast.ids)
        left_out = st.sampled_from([*names, ""])
        own = [(name, encoded(value)) for name in names for value in form.fields[name]]
        path, _, query = form.action.partition("?")

        @st.composite
        def requests(draw: st.DrawFn) -> Sent:
            changed = draw(changes)
            gone = {draw(left_out), *(name for name, _ in changed)}
            fields = [*(pair for pair in own if pair[0] not in gone), *changed]
            if draw(repeated):  # The first and the last differ.
                fields += own
            if form.method == "get":
                return Sent("GET", path, urlencoded(fields), headers=draw(some_headers))
            chosen = draw(way)
            body, kind = draw(raw) if chosen == "bytes" else body_of(chosen, fields)
            return Sent("POST", path, query.encode(), body, kind, draw(some_headers))

        return requests()

    return st.one_of([of(form) for form in forms])


def requests(
    addresses: list[str], forms: list[Form], visitor: Visitor, cast: Cast
) -> st.SearchStrategy[Sent]:
    """Return requests of somebody."""
    return st.one_of(to_addresses(addresses, visitor, cast), to_forms(forms, visitor, cast))
