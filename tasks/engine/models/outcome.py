"""The errors of a run: those that its result names, and the one that ended it."""

from collections.abc import Mapping

#: Of a longer error, this many characters are kept: the last ones, which say the most.
MAX_ERROR_CHARACTERS = 20_000


def count_errors(result: object) -> int:
    """Return how many errors a run's result names in its `errors`."""
    errors = result.get("errors") if isinstance(result, Mapping) else None
    return len(errors) if isinstance(errors, list) else int(bool(errors))


def storable(error: str) -> str:
    """Return the end of an error's text, with characters that no database stores escaped."""
    text = error.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
    return text[-MAX_ERROR_CHARACTERS:]
