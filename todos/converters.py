"""What the addresses of todos are made of."""

from django.urls import register_converter
from django.urls.converters import IntConverter

from todos.bounds import MAX_ID


class RowConverter(IntConverter):
    """The id of a row, in an address."""

    def to_python(self, value: str) -> int:
        """Return the id; of a number that none can have, the address is not found."""
        if len(value) > len(str(MAX_ID)) or int(value) > MAX_ID:
            raise ValueError
        return int(value)


register_converter(RowConverter, "row")
