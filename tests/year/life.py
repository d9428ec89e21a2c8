"""What people do on a day: they log in, look, add a todo, and complete others."""

import re
from http.cookiejar import CookieJar
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, Request, build_opener

import psycopg

PASSWORD = "correct horse battery"
PEOPLE = 200
#: Todos that each of them adds on a day.
TODOS_A_DAY = 5
#: How many log in on a day, and how many of all get receipts.
VISITORS_A_DAY, READERS = 3, 10

#: People log in by this hash, and have confirmed their address.
JOIN = """
    INSERT INTO accounts_user (username, password, is_superuser, first_name, last_name, email,
        is_staff, is_active, date_joined, auto_cleanup, wants_receipt,
        receipt_since)
    SELECT 'person' || number, %(password)s, false, '', '', 'person' || number || '@tidy.example',
        false, true, now(), true, number <= %(readers)s,
        now()
    FROM generate_series(1, %(people)s) AS number;
    INSERT INTO account_emailaddress (user_id, email, verified, "primary")
    SELECT id, email, true, true FROM accounts_user;
"""

#: On the second day after, a todo is completed.
LIVE = """
    INSERT INTO todos_todo (user_id, title, description)
    SELECT id, 'Something to do ' || number, repeat('words ', 20)
    FROM accounts_user, generate_series(1, %(todos)s) AS number;
    UPDATE todos_todo SET completed_at = clock_timestamp()
    WHERE completed_at IS NULL AND created_at < clock_timestamp() - interval '36 hours'
"""


def join(database: psycopg.Connection, password_hash: str) -> None:
    """Have people with a password and an address."""
    run(database, JOIN, password=password_hash, people=PEOPLE, readers=READERS)


def live(database: psycopg.Connection, site: str, day: int) -> None:
    """Add and complete the todos of a day, and visit the site as some of the people."""
    run(database, LIVE, todos=TODOS_A_DAY)
    for visitor in range(VISITORS_A_DAY):
        visit(site, f"person{1 + (day * VISITORS_A_DAY + visitor) % PEOPLE}")


def visit(site: str, name: str) -> None:
    """Log in, add a todo, and look at the list and the trash."""
    browser = build_opener(HTTPCookieProcessor(CookieJar()))

    def get(path: str, **fields: str) -> str:
        body = urlencode(fields).encode() if fields else None
        with browser.open(Request(site + path, body), timeout=30) as response:  # noqa: S310  (ours)
            return str(response.read().decode())

    def token(page: str) -> str:
        found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
        assert found, page[:500]
        return found[1]

    page = get("/accounts/login/")
    page = get("/accounts/login/", csrfmiddlewaretoken=token(page), login=name, password=PASSWORD)
    assert "Something to do" in page, page[:2000]
    get("/todos/add/", csrfmiddlewaretoken=token(page), title=f"Added by {name}", key="")
    get("/trash/")


def run(database: psycopg.Connection, statements: str, **values: str | int) -> None:
    query = psycopg.ClientCursor(database).mogrify(statements.encode(), values)
    database.execute(query.encode())
