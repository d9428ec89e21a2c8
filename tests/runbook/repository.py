"""A repository with versions to deploy: as this checkout is, and what may come after it."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from shutil import copy2

from tests.checkout import ROOT, copy_project, copy_revision
from tests.processes import Tidy
from tests.runbook.page import PAGE

#: The version that is tried; the one before it, the next one, which has a migration, and one that
#: does not load.
THIS, BEFORE, NEXT, BROKEN = "this", "before", "next", "broken"

#: A field that the next version has, as the README says how to add one.
FIELD = "    priority = models.PositiveSmallIntegerField(default=0, db_default=0)\n"
PLACE = "    class Meta:\n        abstract = True\n"


@dataclass
class Repository:
    """A repository in a folder.

    Attributes:
        has_before: whether there is a version before that can be deployed as the page says.
    """

    folder: Path
    has_before: bool = False

    @property
    def page_before(self) -> Path:
        """The runbook of the version before, by which that one is deployed."""
        return self.folder.with_name("operations-before.md")

    def commit(self, version: str) -> None:
        """Commit what is in the folder, as a version."""
        self._git("add", "--all")
        self._git("commit", "--quiet", "--allow-empty", "--message", version)
        self._git("tag", version)

    def _git(self, *arguments: str) -> None:
        who = ("-c", "user.name=Tidy", "-c", "user.email=tidy@tidy.example")
        subprocess.run(["git", "-C", str(self.folder), *who, *arguments], check=True)  # noqa: S607  (as the PATH finds it)

    def begin(self) -> None:
        self.folder.mkdir(exist_ok=True)
        subprocess.run(["git", "init", "--quiet", str(self.folder)], check=True)  # noqa: S607  (as the PATH finds it)

    def empty(self) -> None:
        """Remove all files of the version before."""
        self._git("rm", "-r", "--quiet", ".")


def make_repository(folder: Path) -> Repository:
    """Make a repository with all versions."""
    repository = Repository(folder)
    repository.begin()
    try:
        copy_revision("HEAD^", folder)
    except LookupError:  # A shallow clone, or an archive.
        pass
    else:
        repository.has_before = (folder / "docs/systemd").is_dir()
        copy2(folder / PAGE.relative_to(ROOT), repository.page_before)
        repository.commit(BEFORE)
        repository.empty()
    copy_project(folder)
    repository.commit(THIS)
    add_a_field(folder)
    repository.commit(NEXT)
    wsgi = folder / "project/wsgi.py"
    wsgi.write_text("import project.missing\n", encoding="utf-8")
    repository.commit(BROKEN)
    return repository


def add_a_field(folder: Path) -> None:
    """Add a field to todos, and to the trash, with its migration."""
    models = folder / "todos/models.py"
    text = models.read_text(encoding="utf-8")
    assert text.count(PLACE) == 1
    models.write_text(text.replace(PLACE, f"{FIELD}\n{PLACE}"), encoding="utf-8")
    settings = {"DJANGO_DEBUG": "true", "DJANGO_SECRET_KEY": "runbook"}
    done = Tidy(folder, settings).manage("makemigrations", "todos", "-v0")
    assert done.returncode == 0, done.stderr
