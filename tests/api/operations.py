"""The operations of the API, as its document has them, and requests for each.

The document is made of the operations themselves: one that is added later is in it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from project.api.document import document, operations
from tests.api.clients import BASE

#: Lets a read-only token do something: with itself.
OF_ITSELF = "revokeToken"

#: What to send for a field, by its type and format.
VALUES = {
    ("boolean", None): True,
    ("integer", None): 7,
    ("string", None): "Bob's",
    ("string", "date"): "2100-01-01",
    ("string", "date-time"): "2100-01-01T00:00:00Z",
    ("string", "time-zone"): "Europe/Berlin",
}


@dataclass(frozen=True)
class Operation:
    """An operation, and what it takes.

    Attributes:
        path: below `/api/v1`, with names in braces for its values.
        body: the schema of its body; None if it takes none.
    """

    name: str
    method: str
    path: str
    body: dict[str, Any] | None

    @property
    def writes(self) -> bool:
        return self.method != "GET"

    @property
    def has_id(self) -> bool:
        """Whether its address names a row."""
        return "{" in self.path

    def at(self, pk: int) -> str:
        """Return its address for a row."""
        return self.path.replace("{todo_id}", str(pk))

    def bodies(self, ids: Sequence[int], **known: Any) -> Iterator[Any]:
        """Yield bodies that name rows by their ids: with each field alone, and with all."""
        if self.body is None:
            yield None
            return
        fields = self.body["properties"]
        values = {name: value_for(fields[name], ids) for name in fields} | {
            name: known[name] for name in fields if name in known
        }
        needed = {name: values[name] for name in self.body.get("required", ())}
        for name in fields:
            yield {**needed, name: values[name]}
        yield values


@cache
def all_operations() -> list[Operation]:
    """Return every operation."""
    made = document()
    return [
        Operation(
            described["operationId"],
            method.upper(),
            path.removeprefix(BASE),
            body_of(made, described),
        )
        for path, method, described in operations(made)
    ]


def writing() -> list[Operation]:
    """Return the operations that change something."""
    return [operation for operation in all_operations() if operation.writes]


def body_of(made: dict[str, Any], operation: dict[str, Any]) -> dict[str, Any] | None:
    if "requestBody" not in operation:
        return None
    (content,) = operation["requestBody"]["content"].values()
    name = content["schema"]["$ref"].rpartition("/")[2]
    schema: dict[str, Any] = made["components"]["schemas"][name]
    return schema


def value_for(schema: dict[str, Any], ids: Sequence[int]) -> Any:
    """Return a value that a field takes; an id of these, where it takes numbers or a list."""
    schema = schema.get("anyOf", [schema])[0]
    if "enum" in schema:
        return schema["enum"][-1]
    if schema["type"] == "array":
        return list(ids)
    return VALUES[schema["type"], schema.get("format")]


def named(operation: Operation) -> str:
    """Return what a test of an operation is called."""
    return operation.name


def valid(operation: Operation, pk: int) -> Any:
    """Return a body that an operation accepts."""
    return next(operation.bodies([pk]))
