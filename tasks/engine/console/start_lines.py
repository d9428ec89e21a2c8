"""What does the same as a form: a line for a shell, lines of Python, and a schedule."""

import json
import shlex
import sys
from collections.abc import Iterator
from keyword import iskeyword
from pathlib import Path
from typing import Any

from django.urls import reverse
from django.utils.http import urlencode
from dramatiq import Actor, Message
from dramatiq.broker import get_broker

#: Characters of an address that servers and proxies take without being told to.
MAX_ADDRESS = 2_000


def command_line(message: Message[Any]) -> str:
    """Return the command that starts the run of a message, for a POSIX shell.

    What is not ASCII is escaped, so that a terminal obeys nothing in it.
    """
    words = [interpreter(), "manage.py", "start_run", message.actor_name]
    for part in (list(message.args), message.kwargs):
        if part:
            words += ["--arguments", json.dumps(part)]
    return shlex.join(words)


def interpreter() -> str:
    """Return the Python of this process, seen from its folder, which is that of manage.py."""
    whole, folder = Path(sys.executable), Path.cwd()
    return str(whole.relative_to(folder) if whole.is_relative_to(folder) else whole)


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


def schedule_address(message: Message[Any]) -> str:
    """Return the page that adds a schedule whose runs have a message's arguments.

    Empty if a schedule cannot have them, as some are positional, or an address cannot.
    """
    given = {"task": message.actor_name, "arguments": json.dumps(message.kwargs)}
    address = f"{reverse('admin:tasks_schedule_add')}?{urlencode(given)}"
    return "" if message.args or len(address) > MAX_ADDRESS else address


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
