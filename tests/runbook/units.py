"""Reads systemd's units."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

#: systemd's units of time, in seconds.
SECONDS = {"": 1, "s": 1, "min": 60, "h": 3600}


@dataclass(frozen=True)
class Unit:
    """A unit: what stands under each key, whatever its section."""

    name: str
    values: dict[str, list[str]]

    def all(self, key: str) -> list[str]:
        return self.values.get(key, [])

    def one(self, key: str, default: str = "") -> str:
        return self.all(key)[-1] if self.all(key) else default

    def words(self, key: str) -> list[str]:
        return [word for line in self.all(key) for word in line.split()]

    def seconds(self, key: str, default: str = "90s") -> float:
        matched = re.fullmatch(r"(\d+)(s|min|h|)", self.one(key, default))
        assert matched, f"{self.name}: {key}"
        return int(matched[1]) * SECONDS[matched[2]]

    def commands(self, key: str) -> list[list[str]]:
        """Return command lines as systemd splits them."""
        return [
            [word.replace("%%", "%").replace("$$", "$") for word in shlex.split(line)]
            for line in self.all(key)
        ]

    def environment(self) -> dict[str, str]:
        pairs = [shlex.split(line) for line in self.all("Environment")]
        return dict(pair.split("=", 1) for line in pairs for pair in line)


def read_unit(folder: Path, name: str) -> Unit:
    """Read a unit, or the instance of a template.

    Raises:
        FileNotFoundError: there is none.
    """
    stem, at, instance = name.partition("@")
    file = folder / (f"{stem}@.{name.rsplit('.', 1)[1]}" if at else name)
    text = file.read_text(encoding="utf-8").replace("\\\n", " ")
    if at:
        text = text.replace("%i", instance.rsplit(".", 1)[0])
    values: dict[str, list[str]] = {}
    for line in text.splitlines():
        if "=" in line and not line.startswith(("#", ";")):
            key, value = line.split("=", 1)
            values.setdefault(key.strip(), []).append(value.strip())
    return Unit(name, values)
