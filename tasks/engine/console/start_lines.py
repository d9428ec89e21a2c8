"""What does the same as a form: a line for a shell, and lines of Python."""

import json
import shlex
import sys
from collections.abc import Iterator
from keyword import iskeyword
from typing import Any

from dramatiq import Actor, Message
from dramatiq.broker import get_broker


def command_line(message: Message[Any]) -> str:
    """Return the command that starts the run of a message, for a POSIX shell.

    What is not ASCII is escaped, so that a terminal obeys nothing in it.
    """
    words = ["python", "manage.py", "start_run", message.actor_name]
    for part in (list(message.args), message.kwargs):
        if part:
            words += ["--arguments", json.dumps(part)]
    return shlex.join(words)


def python_lines(message: Message[Any]) -> str:
    """Return the lines of Python that start the run of a message."""
    actor = get_broker().get_actor(message.actor_name)
    lines = ["from tasks.engine.runs.enqueue import enqueue"]
    if name := name_of(actor):
        lines.insert(0, f"from {actor.fn.__module__} import {name}")
    else:
        lines.insert(0, "from dramatiq.broker import get_broker")
        name = f"get_broker().get_actor({message.actor_name!r})"
    arguments = ", ".join([name, *map(ascii, message.args), *keywords(message.kwargs)])
    return "\n".join([*lines, "", f"enqueue({arguments})"])


def name_of(actor: Actor[..., Any]) -> str:
    """Return an actor's name in the module of its function; empty if it has none there."""
    module = sys.modules.get(actor.fn.__module__)
    names = [name for name, value in vars(module).items() if value is actor] if module else []
    return min(names, default="")


def keywords(arguments: dict[str, Any]) -> Iterator[str]:
    """Yield keyword arguments as Python has them, those with impossible names as a mapping."""
    others = {}
    for name, value in arguments.items():
        if name.isidentifier() and not iskeyword(name):
            yield f"{name}={value!a}"
        else:
            others[name] = value
    if others:
        yield f"**{others!a}"
