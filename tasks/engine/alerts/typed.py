"""Builds dataclasses from decoded JSON, and refuses what has other types than they say."""

from collections.abc import Iterable
from dataclasses import is_dataclass
from types import UnionType
from typing import Any, TypeAliasType, get_args, get_origin, get_type_hints

#: Numbers lie below: a moment (seconds since the epoch) has to be one that a date can show.
NUMBERS_END = 250_000_000_000


def typed(hint: Any, found: Any) -> Any:
    """Return what was found as a value of a type.

    Args:
        hint: a dataclass, or what its fields may be here: a text, a truth value, a number that is
            not negative, a named choice of texts, one of these or None, and a list, a tuple or a
            dictionary of these.

    Raises:
        KeyError, TypeError, ValueError: it is none.
    """
    origin, inner = get_origin(hint), get_args(hint)
    if is_dataclass(hint) and isinstance(hint, type):
        hints = get_type_hints(hint)
        return hint(**{name: typed(hints[name], each) for name, each in checked(dict, found)})
    if origin is dict:
        return {name: typed(inner[1], each) for name, each in checked(dict, found)}
    if origin in {list, tuple}:
        return origin(typed(inner[0], each) for each in checked(list, found))
    if origin is UnionType:
        return None if found is None else typed(inner[0], found)
    if not is_one(hint, found):
        raise ValueError(f"It is no {hint}.")
    return found


def is_one(hint: Any, found: Any) -> bool:
    """Say whether what was found is a simple value of this type."""
    if isinstance(hint, TypeAliasType):
        return found in get_args(hint.__value__)
    if hint in {int, float}:
        return type(found) in {int, hint} and 0 <= found < NUMBERS_END
    return type(found) is hint


def checked(expected: type[dict[str, Any] | list[Any]], found: Any) -> Iterable[Any]:
    """Return the items of a dictionary, or the values of a list, if it is one."""
    if type(found) is not expected:
        raise ValueError(f"It is no {expected.__name__}.")
    return found.items() if isinstance(found, dict) else found
