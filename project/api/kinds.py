"""What schemas of the API's document say, in words."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString


def form_of(schema: dict[str, Any]) -> str:
    """Return the name of the schema to which a schema leads, itself or with its items."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    parts = [*schema.get("anyOf", []), *([schema["items"]] if "items" in schema else [])]
    return next((name for part in parts if (name := form_of(part))), "")


def kind_of(schema: dict[str, Any]) -> str:
    """Return a type and its limits in words, such as "integer, 1 to 100"."""
    if "anyOf" in schema:
        kinds = [kind_of(part) for part in schema["anyOf"]]
        return (", or " if any("," in kind for kind in kinds) else " or ").join(kinds)
    if "$ref" in schema:
        return form_of(schema)
    if values := schema.get("enum", [schema["const"]] if "const" in schema else []):
        return ("one of " if len(values) > 1 else "") + ", ".join(map(json.dumps, values))
    return ", ".join([named(schema), *limits_of(schema)])


def named(schema: dict[str, Any]) -> str:
    """Return the name of a type, and of what is in it."""
    name = str(schema.get("type", "anything"))
    if "format" in schema:
        return f"{name} ({schema['format']})"
    if "items" in schema:
        return f"{name} ({kind_of(schema['items'])})"
    return f"{name}: {', '.join(schema['properties'])}" if "properties" in schema else name


def limits_of(schema: dict[str, Any]) -> Iterator[str]:
    """Yield what a value has to be, besides its type."""
    for least, most, unit in (
        ("minLength", "maxLength", " characters"),
        ("minItems", "maxItems", " items"),
        ("minimum", "maximum", ""),
    ):
        if most in schema:
            yield f"{schema.get(least, 0)} to {schema[most]}{unit}"
        elif least in schema:
            yield f"at least {schema[least]}{unit}"
    if "pattern" in schema:
        yield f"matching {schema['pattern']}"
    if "default" in schema:
        yield f"by default {json.dumps(schema['default'])}"


def without_names(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document in which values, such as one of some words, stand where they are named."""
    schemas = document["components"]["schemas"]
    values = {
        f"#/components/schemas/{name}": schema
        for name, schema in schemas.items()
        if "properties" not in schema
    }

    def replaced(part: Any) -> Any:
        if isinstance(part, list):
            return [replaced(item) for item in part]
        if not isinstance(part, dict):
            return part
        return values.get(part.get("$ref", "")) or {
            name: replaced(value) for name, value in part.items()
        }

    whole: dict[str, Any] = replaced(document)
    return whole


def words(text: str) -> SafeString:
    """Return a text as HTML, in which what stands between backticks is code."""
    pieces: Iterable[tuple[str]] = (
        (format_html("<code>{}</code>", piece) if number % 2 else piece,)
        for number, piece in enumerate(text.split("`"))
    )
    return format_html_join("", "{}", pieces)
