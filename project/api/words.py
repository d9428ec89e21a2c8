"""What the document says in words."""

ABOUT = """\
Your todos, for scripts, shortcuts and other programs: the list, the trash with its undo, and what
the next cleanup would take.

Send a token, which you make on the preferences page, as `Authorization: Bearer tidy_…`.
Errors are `application/problem+json`. Lists have pages: ask for `next_cursor` until it is null.
"""

#: The groups of operations, in their order.
TAGS = {
    "todos": "Your list.",
    "trash": "What has left your list: restore it, or delete it for good.",
    "cleanup": "What happens at night.",
    "you": "Who you are, what you prefer, and everything that is kept of you.",
}

#: How one calls, by the names of what checks it.
SECURITY = {
    "BearerToken": "A token of yours, in the header `Authorization: Bearer tidy_…`.",
    "BrowserSession": "The session of the pages. Changes need the header `X-CSRFToken`, too.",
}
