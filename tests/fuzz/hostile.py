"""What a stranger may type, or send without typing."""

from urllib.parse import quote

from hypothesis import strategies as st

#: In a page, the first of these must not stand as it is.
SCRIPT = "<script>alert('x7q')</script>"

TEXTS = (
    *("", " ", "\0", "a\0b", "\r\nSet-Cookie: x7q=1\r\n\r\n<b>", "\x1b[31m\x07\x08\x7f\x85"),
    *(
        "\u202egnp.exe\u2066\u200f\u061c",
        "\ufeff\u200b\u2028\u2029",
        "a\u0301" * 300,
        "İıſß\U0001f600",
    ),
    *("\ud800", "\udfff\ud800", "ä" * 20_000, "9" * 400, "[" * 900 + "]" * 900, "(" * 2_000),
    *(SCRIPT, f'"><img src=x onerror=alert(1)>{SCRIPT}', "javascript:alert(1)", "data:text/html,x"),
    *("' OR '1'='1'; DROP TABLE todos_todo; --", '" OR ""="', "%s%(a)s{0.__class__}", "\\", "%"),
    *("{{ 7|add:7 }}{% debug %}", "{% load x %}", "${7*7}#{7*7}<%= 7 %>", "=cmd|' /C calc'!A0"),
    *(
        "../../../../etc/passwd",
        "/etc/passwd",
        "//evil.example/",
        "https://evil.example/",
        "\\\\evil",
    ),
    *(
        "/\\evil.example",
        "https:evil.example",
        "http:///evil.example",
        "/%0d%0aX7q:1",
        "..;/admin/",
    ),
    *(
        "0",
        "-1",
        "+1",
        "1.5",
        "1e5",
        "1e400",
        "NaN",
        "Infinity",
        "-inf",
        "0x10",
        "0b1",
        "1_000",
        "٣",
    ),
    *("2147483648", "9223372036854775807", "9223372036854775808", "-9223372036854775809"),
    *("99999999999999999999999999", "00000001", "1,2,3", "1;2", "on", "true", "null", "None", "[]"),
    *("{}", "[[[]]]", '{"a": 1}', '{"__proto__": {"x": 1}}', "0000-00-00", "2026-02-30"),
    *(
        "0001-01-01",
        "9999-12-31",
        "9999-12-31T23:59:60Z",
        "2026-11-30T02:00+99:99",
        "25:61",
        "24:00",
    ),
    *("today", "tomorrow", "every day at noon until next year", "in 99999999999 days", "31 feb"),
    *("* * * * *", "*/0 * * * *", "0 0 31 2 *", "@reboot", "60 24 32 13 8", ",".join("0" * 3000)),
    *("Mars/Olympus", "../../etc/localtime", "Europe/Berlin\0", "de-DE-x-y", "xx", "a" * 64),
    *("admin", "alice", "ALICE", "bob@example.org", "a@b", "a" * 300 + "@example.org", "x@[::1]"),
    *("__class__", "user__password__startswith", "_meta", "pk__in", "user__isnull"),
)

#: Bytes that are no UTF-8, or no percent-encoding, as they stand in an address or a form.
BYTES = (
    *(b"%ED%A0%80", b"%C0%AF", b"%C0%80", b"%F8%88%80%80%80", b"%FF%FE%00", b"%80", b"%E2%80"),
    *(
        b"%",
        b"%zz",
        b"%u0041",
        b"%00",
        b"%0d%0aX7q:1",
        b"\xff\xfe",
        b"\xc3\x28",
        b"+" * 50,
        b"&&==",
    ),
)


def encoded(text: str) -> bytes:
    """Return a text as a form has it; surrogates as no browser would send them."""
    return quote(text.encode("utf-8", "surrogatepass"), safe="").encode()


def texts() -> st.SearchStrategy[str]:
    """Return hostile texts, and any."""
    return st.one_of(
        st.sampled_from(TEXTS),
        st.text(max_size=20),
        st.integers().map(str),
        st.floats().map(str),
        st.tuples(st.sampled_from(TEXTS), st.sampled_from(TEXTS)).map("".join),
    )


def values(ids: list[str]) -> st.SearchStrategy[bytes]:
    """Return values of fields as they are sent: also the ids of rows, whoever's they are."""
    return st.one_of(
        texts().map(encoded), st.sampled_from(ids).map(encoded), st.sampled_from(BYTES)
    )
