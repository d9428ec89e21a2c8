"""The field of a form for a parameter: by its type where that says enough, else for JSON.

JSON is for a parameter without a type, or of any other one than those below; for one that may be
None and does not default to it; and for `*args` and `**kwargs`.
"""

import inspect
import json
import typing
from collections.abc import Callable, Mapping
from datetime import date, datetime
from enum import Enum
from functools import partial
from inspect import Parameter
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from django import forms
from django.core.exceptions import ValidationError

from tasks.engine.words import reason

#: Characters of a default that are shown.
MAX_DEFAULT = 100

#: What holds the arguments of `*args` and of `**kwargs`.
VARIADIC: Mapping[Any, type] = {Parameter.VAR_POSITIONAL: list, Parameter.VAR_KEYWORD: dict}

BOOLS = {"true": True, "false": False}


class JSONText(forms.CharField):
    """A value typed as JSON; of one `kind`, such as a list."""

    widget = forms.Textarea(attrs={"rows": 2, "spellcheck": "false"})

    def __init__(self, kind: type = object, **options: Any) -> None:
        super().__init__(**options)
        self._kind = kind

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        if not text:
            return None
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValidationError(f"This is not JSON: {reason(error)}.") from error
        if not isinstance(found, self._kind):
            raise ValidationError(
                f"This must be JSON's {'list' if self._kind is list else 'object'}."
            )
        return found


class Choice(forms.ChoiceField):
    """One of some values, by their names; in the form, each is its JSON."""

    def __init__(self, values: Mapping[str, Any], **options: Any) -> None:
        self._values = {json.dumps(value): value for value in values.values()}
        choices = zip(self._values, values, strict=True)
        super().__init__(
            choices=[("", "-" if options["required"] else "default"), *choices], **options
        )

    def clean(self, value: Any) -> Any:
        return self._values.get(super().clean(value))


class Text(forms.CharField):
    """A text as it is typed, its lines ended as Python ends them."""

    widget = forms.Textarea(attrs={"rows": 1})

    def __init__(self, **options: Any) -> None:
        super().__init__(strip=False, **options)

    def to_python(self, value: Any) -> str:
        return str(super().to_python(value)).replace("\r\n", "\n")


class ISOText(forms.CharField):
    """A date, or a moment, which reaches the actor as it is typed: in ISO 8601."""

    def __init__(self, parse: Callable[[str], object], example: str, **options: Any) -> None:
        super().__init__(**options)
        self._parse, self._example = parse, example

    def clean(self, value: Any) -> str:
        text: str = super().clean(value)
        try:
            if text:
                self._parse(text)
        except ValueError as error:
            raise ValidationError(f"This must be ISO 8601, such as {self._example}.") from error
        return text


#: By the type of a parameter. A browser's own field for numbers would lose what is none.
FIELDS: Mapping[Any, Callable[..., forms.Field]] = {
    bool: partial(Choice, BOOLS),
    int: partial(forms.IntegerField, widget=forms.TextInput),
    float: partial(forms.FloatField, widget=forms.TextInput),
    str: Text,
    date: partial(ISOText, date.fromisoformat, "2026-03-10"),
    datetime: partial(ISOText, datetime.fromisoformat, "2026-03-10T02:00:00+00:00"),
}


def field_of(parameter: Parameter, annotation: Any, help_text: str) -> forms.Field:
    """Return the field for a parameter."""
    has_default = parameter.default is not Parameter.empty
    variadic = VARIADIC.get(parameter.kind)
    options = {
        "required": not has_default and variadic is None,
        "label": parameter.name,
        "help_text": " ".join(filter(None, [help_text, default_in_words(parameter)])),
    }
    if variadic:
        return JSONText(variadic, **options)
    return maker_of(annotation, may_be_none=parameter.default is None)(**options)


def maker_of(annotation: Any, *, may_be_none: bool) -> Callable[..., forms.Field]:
    """Return what makes the field of a type; `may_be_none` if an empty field means None."""
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in {Union, UnionType} and may_be_none:
        others = [one for one in get_args(annotation) if one is not NoneType]
        annotation = others[0] if len(others) == 1 else Any
    if get_origin(annotation) is Literal:
        values = {str(value): value for value in get_args(annotation)}
        return partial(Choice, values) if are_json(values) else JSONText
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        values = {member.name: member.value for member in annotation}
        return partial(Choice, values) if are_json(values) else JSONText
    try:
        return FIELDS.get(annotation, JSONText)
    except TypeError:  # It cannot be hashed.
        return JSONText


def are_json(values: Mapping[str, Any]) -> bool:
    return all(value is None or isinstance(value, str | int | float) for value in values.values())


def default_in_words(parameter: Parameter) -> str:
    if parameter.default is Parameter.empty:
        return "JSON; empty: none." if parameter.kind in VARIADIC else "Required."
    if parameter.default is None:
        return "May be empty."
    return f"Empty: {repr(parameter.default)[:MAX_DEFAULT]}."


def text_of(field: forms.Field, value: Any, *, default: Any) -> str | None:
    """Return what is to be typed for a value; None if nothing in this field means it."""
    if value is None and default is None:
        return ""
    typed_as_json = isinstance(field, Choice | JSONText) or not isinstance(value, str)
    text = json.dumps(value) if typed_as_json else value
    try:
        return text if text and field.clean(text) == value else None
    except ValidationError:
        return None


def types_of(function: Callable[..., Any]) -> Mapping[str, Any]:
    """Return the types of a function's parameters; those that cannot be told are left out."""
    try:
        return typing.get_type_hints(function, include_extras=True)
    except Exception:  # noqa: BLE001  (whatever an annotation in quotes raises)
        annotations = inspect.get_annotations(function)
    return {name: typed for name, typed in annotations.items() if not isinstance(typed, str)}
