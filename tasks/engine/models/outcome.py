"""What a run leaves behind when it ends: the errors that its result names, and its own error."""

from collections.abc import Mapping

#: The end of a longer error is kept: the end of a traceback says the most.
MAX_ERROR_CHARACTERS = 20_000


def count_errors(result: object) -> int:
    """Return how many errors a run's result names in its `errors`."""
    errors = result.get("errors") if isinstance(result, Mapping) else None
    return len(errors) if isinstance(errors, list) else int(bool(errors))


def storable(error: str) -> str:
    """Return the end of an error's text, with characters that no database stores escaped."""
    text = error.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
    return text[-MAX_ERROR_CHARACTERS:]
