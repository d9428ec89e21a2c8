"""The document of the API as its page shows it: each operation in words, with an example."""

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from django.utils.safestring import SafeString

from project.api.codes import all_codes
from project.api.kinds import form_of, kind_of, without_names, words
from project.api.problems import STATUSES, title_of

#: Where examples find the token of whoever runs them.
AUTHORIZATION = '"Authorization: Bearer $TIDY_TOKEN"'

#: What examples send, by the name, the format or the type of a field.
EXAMPLES: dict[str, Any] = {
    "title": "Buy milk",
    "date": "2026-12-01",
    "date-time": "2000-01-01T02:00:00Z",
    "integer": 42,
    "boolean": True,
    "string": "text",
}


@dataclass(frozen=True)
class Field:
    """A parameter, a field of a body or of an answer, or a header.

    Attributes:
        place: `path`, `query` or `header`; empty for fields.
        kind: its type and limits, in words.
        form: the name of the schema that it has or that its items have, which is described apart.
    """

    name: str
    place: str
    kind: str
    form: str
    description: SafeString
    is_required: bool = False


@dataclass(frozen=True)
class Success:
    """An answer to a request that was accepted.

    Attributes:
        form: the name of its schema; empty if it has none.
        content_type: empty if it has no body.
    """

    status: int
    name: str
    form: str
    content_type: str
    headers: list[Field]


@dataclass(frozen=True)
class Operation:
    """An operation.

    Attributes:
        anchor: its name in the document.
        body: the name of its schema; empty if it takes none.
        successes: answers to what was accepted.
        errors: the statuses of all others.
        example: a command for a shell.
    """

    anchor: str
    method: str
    path: str
    summary: str
    description: SafeString
    is_deprecated: bool
    takes_session: bool
    parameters: list[Field]
    body: str
    body_description: SafeString
    body_fields: list[Field]
    successes: list[Success]
    errors: list[int]
    example: str


@dataclass(frozen=True)
class Group:
    """Operations that belong together."""

    name: str
    description: SafeString
    operations: list[Operation]


@dataclass(frozen=True)
class Form:
    """The form of answers, or of something inside."""

    name: str
    description: SafeString
    fields: list[Field]


@dataclass(frozen=True)
class Error:
    """A status of refusals, and its codes: each with what it says, or with nothing if that is all.

    Attributes:
        description: when it comes.
    """

    status: int
    name: str
    description: SafeString
    codes: list[tuple[str, str]]


class Reference:
    """All that the document says.

    Attributes:
        about: what the API is, in paragraphs.
        groups: the operations.
        forms: the forms of what is answered.
        form_names: theirs.
        errors: what may go wrong.
    """

    def __init__(self, document: dict[str, Any], site: str) -> None:
        """Read a document.

        Args:
            document: as its file has it.
            site: the site's address, without a slash at its end.
        """
        self._document = document = without_names(document)
        self._site = site
        self.about = [words(text) for text in document["info"]["description"].split("\n\n")]
        self.groups = [
            Group(tag["name"], words(tag["description"]), list(self._operations(tag["name"])))
            for tag in document["tags"]
        ]
        self.forms = list(self._forms())
        self.form_names = {form.name for form in self.forms}
        self.errors = list(self._errors())

    def _operations(self, tag: str) -> Iterator[Operation]:
        for path, methods in self._document["paths"].items():
            for method, operation in methods.items():
                if tag in operation["tags"]:
                    yield self._operation(path, method.upper(), operation)

    def _operation(self, path: str, method: str, operation: dict[str, Any]) -> Operation:
        content = operation.get("requestBody", {}).get("content", {})
        body: dict[str, Any] = next((given["schema"] for given in content.values()), {})
        responses = {int(status): given for status, given in operation["responses"].items()}
        return Operation(
            anchor=operation["operationId"],
            method=method,
            path=path,
            summary=operation["summary"],
            description=words(operation.get("description", "")),
            is_deprecated=operation.get("deprecated", False),
            takes_session=any("BrowserSession" in way for way in operation["security"]),
            parameters=[
                field_of(given["name"], given["schema"], given, place=given["in"])
                for given in operation["parameters"]
            ],
            body=form_of(body),
            body_description=words(self._resolved(body).get("description", "")),
            body_fields=list(fields_of(self._resolved(body))),
            successes=[
                success_of(status, given)
                for status, given in responses.items()
                if status < HTTPStatus.BAD_REQUEST
            ],
            errors=sorted(status for status in responses if status >= HTTPStatus.BAD_REQUEST),
            example=self._example(path, method, body, next(iter(content), "")),
        )

    def _example(self, path: str, method: str, body: dict[str, Any], content_type: str) -> str:
        address = self._site + re.sub(r"\{\w+\}", str(EXAMPLES["integer"]), path)
        lines = [f"curl --header {AUTHORIZATION}"]
        if method not in {"GET", "POST"} or (method == "POST" and not body):
            lines.append(f"--request {method}")
        if body:
            sent = json.dumps(self._value("", body), ensure_ascii=False)
            lines += [f"--header 'Content-Type: {content_type}'", f"--data {shlex.quote(sent)}"]
        return " \\\n  ".join([*lines, shlex.quote(address)])

    def _value(self, name: str, schema: dict[str, Any]) -> Any:
        """Return what an example has for a field: of objects, no more than they need."""
        schema = self._resolved(schema)
        if "anyOf" in schema:
            return self._value(name, schema["anyOf"][0])
        if "enum" in schema:
            return next(filter(None, schema["enum"]), schema["enum"][0])
        if schema["type"] == "array":
            return [self._value("", schema["items"])]
        if schema["type"] == "object":
            needed = schema.get("required") or list(schema["properties"])[:1]
            return {needs: self._value(needs, schema["properties"][needs]) for needs in needed}
        known = (name, schema.get("format"), schema["type"])
        return next(EXAMPLES[one] for one in known if one in EXAMPLES)

    def _resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        schemas: dict[str, dict[str, Any]] = self._document["components"]["schemas"]
        return schemas[form_of(schema)] if "$ref" in schema else schema

    def _forms(self) -> Iterator[Form]:
        """Yield what is answered, and what that holds, each once, in their order."""
        names = [
            *(
                success.form
                for group in self.groups
                for one in group.operations
                for success in one.successes
            ),
            "Problem",
        ]
        found: dict[str, Form] = {}
        while names:
            name = names.pop(0)
            if name and name not in found:
                schema = self._document["components"]["schemas"][name]
                fields = list(fields_of(schema))
                found[name] = Form(name, words(schema.get("description", "")), fields)
                names[:0] = [field.form for field in fields]
        yield from found.values()

    def _errors(self) -> Iterator[Error]:
        described = {
            int(name.removeprefix("Problem")): response["description"]
            for name, response in self._document["components"]["responses"].items()
        }
        codes = list(all_codes())
        for status in sorted({*described, *(status for status, _, _ in codes)}):
            yield Error(
                status,
                title_of(status),
                words(described.get(status, STATUSES[status][1])),
                [(code, text) for of, code, text in codes if of == status],
            )


def fields_of(schema: dict[str, Any]) -> Iterator[Field]:
    """Yield the fields of an object."""
    required = schema.get("required", [])
    for name, field in schema.get("properties", {}).items():
        yield field_of(name, field, {"required": name in required})


def field_of(name: str, schema: dict[str, Any], given: dict[str, Any], *, place: str = "") -> Field:
    """Return a field, of which `given` says more than its schema does."""
    description = given.get("description") or schema.get("description", "")
    return Field(
        name=name,
        place=place,
        kind=kind_of(schema),
        form=form_of(schema),
        description=words(description),
        is_required=given.get("required", False),
    )


def success_of(status: int, response: dict[str, Any]) -> Success:
    """Return an answer to what was accepted."""
    contents: dict[str, dict[str, Any]] = response.get("content", {})
    content_type = next(iter(contents), "")
    content = contents.get(content_type, {})
    headers = response.get("headers", {})
    return Success(
        status=status,
        name=HTTPStatus(status).phrase,
        form=form_of(content.get("schema", {})),
        content_type=content_type,
        headers=[field_of(name, header["schema"], header) for name, header in headers.items()],
    )
