"""The note of a pause: why, for those who find it."""

from tasks.engine.models.queue import MAX_NOTE_CHARACTERS
from tasks.engine.operations.errors import Refused
from tasks.engine.words import one_line


def checked_note(text: str) -> str:
    """Return a note in one line.

    Raises:
        Refused: it is missing or too long.
    """
    note = one_line(text)
    if not note:
        raise Refused("Say why, for those who find it paused.")
    if len(note) > MAX_NOTE_CHARACTERS:
        raise Refused(f"The note is longer than {MAX_NOTE_CHARACTERS} characters.")
    return note
