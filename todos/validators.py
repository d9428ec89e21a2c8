"""What the texts and dates of a todo may be."""

from collections.abc import Callable
from datetime import date
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxLengthValidator, ProhibitNullCharactersValidator
from django.utils.translation import gettext as _

type Validator = Callable[[Any], None]

MAX_TITLE = 200
MAX_DESCRIPTION = 10_000
EARLIEST_DUE = date(1900, 1, 1)
LATEST_DUE = date(2999, 12, 31)


def well_formed(text: str) -> None:
    """Refuse half a character, which no database stores."""
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValidationError(_("This text has characters that cannot be stored."))


def plausible(due_on: date) -> None:
    """Refuse a date that must be a slip of the finger."""
    if not EARLIEST_DUE <= due_on <= LATEST_DUE:
        raise ValidationError(
            _("Choose a year from %(first)d to %(last)d.")
            % {"first": EARLIEST_DUE.year, "last": LATEST_DUE.year}
        )


TEXT: list[Validator] = [ProhibitNullCharactersValidator(), well_formed]
DESCRIPTION: list[Validator] = [*TEXT, MaxLengthValidator(MAX_DESCRIPTION)]
DUE: list[Validator] = [plausible]
