"""A form made from the signature of a task's actor: a field for each parameter.

An empty field means the parameter's default. `start_fields.py` chooses the fields.
"""

import json
import re
from collections.abc import Collection, Mapping
from inspect import Parameter, getdoc, signature
from typing import Any

from django import forms
from django.http import QueryDict
from dramatiq import Actor, Message
from dramatiq.broker import get_broker

from tasks.engine.broker.messages import check_arguments, check_storable
from tasks.engine.console.start_fields import field_of, text_of, types_of
from tasks.engine.words import reason

#: A line of a docstring's section `Args:` that begins with a parameter's name.
ARGUMENT = re.compile(r"^    (\*{0,2}\w+)(?: \([^)]*\))?: (.*)$")


class StartForm(forms.Form):
    """The arguments of a run.

    Attributes:
        as_json: the parameters that are typed as JSON, although their type has a field of its own.
    """

    #: So that no parameter has the name of another thing that is posted.
    prefix = "argument"

    def __init__(
        self,
        actor: Actor[..., Any],
        data: QueryDict | None = None,
        *,
        as_json: Collection[str] = (),
        initial: Mapping[str, Any] | None = None,
    ) -> None:
        """Make the fields.

        Args:
            actor: its function has the parameters.
            data: what was posted, if anything was.
            as_json: see above; a parameter whose initial value does not fit its type is added.
            initial: the values to begin with, by parameter.
        """
        super().__init__(data)
        self._actor = actor
        self._signature = signature(actor.fn)
        self.as_json = set(as_json)
        types, helps = types_of(actor.fn), helps_of(getdoc(actor.fn) or "")
        for name, parameter in self._signature.parameters.items():
            annotation = Any if name in self.as_json else types.get(name, Any)
            field = field_of(parameter, annotation, helps.get(name, ""))
            if initial and name in initial:
                text = text_of(field, initial[name], default=parameter.default)
                if text is None:
                    self.as_json.add(name)
                    field, text = (
                        field_of(parameter, Any, helps.get(name, "")),
                        json.dumps(initial[name]),
                    )
                field.initial = text
            self.fields[name] = field

    def as_typed(self) -> "StartForm":
        """Return this form as it is posted if nobody types anything."""
        data = QueryDict(mutable=True)
        for name, field in self.fields.items():
            data[self.add_prefix(name)] = field.initial or ""
        return StartForm(self._actor, data, as_json=self.as_json)

    def clean(self) -> dict[str, Any]:
        """Refuse what the actor, its option `check` or the database would refuse."""
        cleaned = super().clean() or {}
        for name, value in list(cleaned.items()):
            try:
                check_storable(value)
            except ValueError as error:
                self.add_error(name, str(error))
        if not self.errors:
            try:
                check_arguments(get_broker(), self.message())
            except (TypeError, ValueError) as error:
                said = reason(error)
                name = said.partition(" ")[0]
                self.add_error(name if name in self.fields else None, said)
        return cleaned

    def message(self) -> Message[Any]:
        """Return the message that asks for the run, once the fields are clean."""
        args, kwargs = self._arguments()
        return self._actor.message_with_options(args=args, kwargs=kwargs)

    def _arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return what was typed: by keyword wherever that is possible."""
        given = {
            name: self.cleaned_data[name]
            for name in self.fields
            if self.data.get(self.add_prefix(name), "").strip()
        }
        parameters = [self._signature.parameters[name] for name in given]
        if any(one.kind in {one.POSITIONAL_ONLY, one.VAR_POSITIONAL} for one in parameters):
            bound = self._signature.bind_partial()
            bound.arguments = given
            bound.apply_defaults()
            return bound.args, bound.kwargs
        more = [given.pop(one.name) for one in parameters if one.kind == Parameter.VAR_KEYWORD]
        return (), {**given, **(more[0] if more else {})}


def values_of(actor: Actor[..., Any], arguments: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the arguments of a run by parameter; None if the actor does not take them any more."""
    try:
        bound = signature(actor.fn).bind(*arguments.get("args", ()), **arguments.get("kwargs", {}))
    except TypeError:
        return None
    return bound.arguments


def helps_of(docstring: str) -> Mapping[str, str]:
    """Return what the section `Args:` of a docstring says, by parameter."""
    found: dict[str, str] = {}
    name = ""
    for line in docstring.partition("\nArgs:\n")[2].splitlines():
        if match := ARGUMENT.match(line):
            name, said = match[1].lstrip("*"), match[2]
            found[name] = said
        elif name and line.startswith(" " * 8):
            found[name] += f" {line.strip()}"
        else:  # An empty line, or the next section.
            break
    return found
