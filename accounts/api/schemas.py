"""The form of what the API takes and gives of accounts."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictInt, StrictStr

from accounts.models import MAX_KEEP_COMPLETED_DAYS

#: The most characters of the name of a time zone.
MAX_ZONE = 64

#: Instead of what a request leaves out. It is no value of the field's type, and never checked.
NOT_GIVEN: Any = None


class Given(BaseModel):
    """What a request gives: nothing but what is named."""

    model_config = ConfigDict(extra="forbid")


class Changes(Given):
    """What a request changes; what it does not give stays as it is."""

    def changes(self) -> Any:
        """Return what was given."""
        return self.model_dump(exclude_unset=True)


class Answer(BaseModel):
    """What an answer gives. Later versions may add to it."""

    model_config = ConfigDict(from_attributes=True)


class TokenOut(Answer):
    """The token by which you call."""

    name: str
    access: Literal["read", "write"]
    created_at: datetime
    expires_at: datetime | None


class Me(Answer):
    """Who you are."""

    username: str
    first_name: str
    last_name: str
    email: str = Field(description="Empty if there is none.")
    joined_at: datetime
    token: TokenOut | None = Field(description="null if you call by the session of a browser.")


def as_whole(value: Any) -> Any:
    """Take 7.0 for 7, which is the same number in JSON; beyond 2^53 digits may have been lost."""
    if isinstance(value, float) and value.is_integer() and abs(value) <= 2**53:
        return int(value)
    return value


KeepDays = Annotated[StrictInt, Field(ge=0, le=MAX_KEEP_COMPLETED_DAYS), BeforeValidator(as_whole)]
#: For the document: all of them are text, and the format says that not every text is one.
NO_ZONE = {"type": "string", "enum": [""]}
ZONE = {"type": "string", "format": "time-zone", "minLength": 1, "maxLength": MAX_ZONE}
TimeZone = Annotated[
    StrictStr, Field(max_length=MAX_ZONE, json_schema_extra={"anyOf": [NO_ZONE, ZONE]})
]
Language = Literal["", "en", "de"]
Theme = Literal["auto", "light", "dark"]


class PreferencesOut(Answer):
    """What a person prefers."""

    auto_cleanup: bool = Field(description="Completed todos are swept away at night.")
    keep_completed_days: int | None = Field(
        description="How many days a completed todo stays; null: as the site has it."
    )
    wants_receipt: bool = Field(
        description="A mail after each night that took something, if there is a confirmed address."
    )
    receipt_titles: bool = Field(description="With titles in that mail.")
    time_zone: str = Field(description="Such as Europe/Berlin; empty: the site's.")
    language: Language = Field(description="Of pages and mails; empty: the browser's.")
    theme: Theme
    shortcuts: bool = Field(description="Keyboard shortcuts on pages.")


class PreferencesIn(Changes):
    """Preferences to change; those that are not given stay as they are."""

    auto_cleanup: StrictBool = Field(NOT_GIVEN)
    keep_completed_days: KeepDays | None = Field(NOT_GIVEN)
    wants_receipt: StrictBool = Field(NOT_GIVEN)
    receipt_titles: StrictBool = Field(NOT_GIVEN)
    time_zone: TimeZone = Field(
        NOT_GIVEN, description="Such as Europe/Berlin, by the IANA database; empty: the site's."
    )
    language: Language = Field(NOT_GIVEN)
    theme: Theme = Field(NOT_GIVEN)
    shortcuts: StrictBool = Field(NOT_GIVEN)
