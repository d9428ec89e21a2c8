"""Changes to a process of Tidy's, by import path: other constants, and fail points.

A path is a module, a colon and a name in it, such as `tasks.engine.runs.enqueue:publish` or
`tasks.engine.models:TaskRun.save`. As with `unittest.mock`, it says where a name is looked up, not
where it is defined. A path that leads nowhere ends the process.
"""

import json
import os
import random
import signal
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import wraps
from importlib import import_module
from pathlib import Path
from time import sleep
from typing import Any, Literal, Self

#: The variable that tells a process of its injection.
VARIABLE = "TIDY_TEST_INJECTION"

type When = Literal["before", "after"]


def resolve(path: str) -> tuple[object, str]:
    """Return the object that has the name at the end of an import path, and the name.

    Raises:
        LookupError: there is nothing at this path.
    """
    module, _, names = path.partition(":")
    *parents, name = names.split(".")
    try:
        owner: object = import_module(module)
        for parent in parents:
            owner = getattr(owner, parent)
        getattr(owner, name)
    except (ImportError, AttributeError) as error:
        raise LookupError(f"There is nothing to patch at {path}: {error}") from error
    return owner, name


def wrap(path: str, when: When, do: Callable[[], None]) -> None:
    """Have something done before each call of a function, or after each that returns."""
    owner, name = resolve(path)
    function = getattr(owner, name)

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if when == "before":
            do()
        result = function(*args, **kwargs)
        if when == "after":
            do()
        return result

    setattr(owner, name, wrapper)


@dataclass(frozen=True)
class Value:
    """A constant has another value."""

    path: str
    value: float | str

    def apply(self) -> None:
        """Set it.

        Raises:
            LookupError: there is nothing at this path.
        """
        owner, name = resolve(self.path)
        setattr(owner, name, self.value)


@dataclass(frozen=True)
class Die:
    """The first process that comes before, or after, a call is killed there; none is after it.

    Attributes:
        mark: the file that says that one was.
    """

    when: When
    path: str
    mark: str

    def apply(self) -> None:
        """Set the fail point.

        Raises:
            LookupError: there is nothing at this path.
        """
        wrap(self.path, self.when, self._die)

    def _die(self) -> None:
        try:
            Path(self.mark).touch(exist_ok=False)
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Pause:
    """Whoever comes before, or after, a call says so and waits.

    Attributes:
        seconds: how long.
        at_random: up to so long instead.
    """

    when: When
    path: str
    seconds: float
    at_random: bool = False

    def apply(self) -> None:
        """Set the fail point.

        Raises:
            LookupError: there is nothing at this path.
        """
        wrap(self.path, self.when, self._pause)

    def _pause(self) -> None:
        print(f"paused {self.when} {self.path}", flush=True)  # noqa: T201  (the test waits for it)
        sleep(random.uniform(0, self.seconds) if self.at_random else self.seconds)  # noqa: S311  (no secret)


type Patch = Value | Die | Pause
KINDS: dict[str, type[Patch]] = {kind.__name__: kind for kind in (Value, Die, Pause)}


@dataclass(frozen=True)
class Injection:
    """All that tests change in a process.

    Attributes:
        modules: of the tests, with actors.
        patches: applied when Tidy and the modules have been loaded.
        every: tasks that have a schedule from the beginning, and its interval (seconds).
    """

    modules: tuple[str, ...] = ()
    patches: tuple[Patch, ...] = ()
    every: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: Self) -> Self:
        """Return both together."""
        return type(self)(
            self.modules + other.modules,
            self.patches + other.patches,
            {**self.every, **other.every},
        )

    def encode(self) -> str:
        """Return it as the environment holds it."""
        patches = [[type(patch).__name__, asdict(patch)] for patch in self.patches]
        return json.dumps([self.modules, patches, self.every])

    @classmethod
    def decode(cls, text: str) -> Self:
        """Return what `encode` has written."""
        modules, patches, every = json.loads(text)
        found = tuple(KINDS[kind](**values) for kind, values in patches)
        return cls(tuple(modules), found, every)

    @classmethod
    def of_this_process(cls) -> Self:
        """Return what the environment holds."""
        return cls.decode(os.environ[VARIABLE])
