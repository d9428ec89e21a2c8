"""Other versions of the project, made from a copy of it."""

import shutil
import tempfile
from pathlib import Path

from tests.checkout import copy_project, copy_revision

#: What a next version may do to a table that the version before uses.
NEXT = """
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("todos", "{last}")]
    operations = [
        migrations.AddField("todo", "next_version", models.IntegerField(default=7, db_default=7)),
        migrations.RunSQL("SELECT pg_sleep(3)", migrations.RunSQL.noop),
    ]
"""
FAILING = """
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("todos", "{last}")]
    operations = [migrations.RunSQL("SELECT pg_sleep(2); SELECT 1 / 0")]
"""
MARK = "next version"

#: What a person who upgrades keeps.
KEPT = {".env", "secrets"}

#: What the version that is upgraded from must have.
NEEDED = "deploy/upgrade.sh"


def copy_previous(folder: Path) -> str:
    """Copy the previous commit, or this one if that has no such stack yet; say which."""
    try:
        copy_revision("HEAD~1", folder)
    except LookupError:
        pass
    else:
        if (folder / NEEDED).exists():
            return "the previous commit"
        shutil.rmtree(folder)
    copy_project(folder)
    return "this commit, as the previous one has no such stack"


def add_migration(folder: Path, name: str, text: str) -> None:
    """Add a migration to the todos, after the last one."""
    migrations = folder / "todos/migrations"
    last = max(path.stem for path in migrations.glob("0*.py"))
    number = int(last[:4]) + 1
    (migrations / f"{number:04}_{name}.py").write_text(text.format(last=last))


def make_next(folder: Path) -> None:
    """Make it the next version: the project as it is here, with a column more, and a mark."""
    for path in folder.iterdir():
        # A folder that a container has mounted stays, as a checkout would leave it.
        if path.is_dir() and path.name not in KEPT | {"deploy"}:
            shutil.rmtree(path)
    with tempfile.TemporaryDirectory(prefix="tidy-") as name:
        new = copy_project(Path(name) / "new")
        shutil.copytree(new, folder, dirs_exist_ok=True)
    add_migration(folder, "next", NEXT)
    health = folder / "project/draining.py"
    health.write_text(f"{health.read_text()}\n# {MARK}\n")


def add_failing(folder: Path) -> Path:
    """Add a migration that fails; return it."""
    add_migration(folder, "failing", FAILING)
    return max((folder / "todos/migrations").glob("0*_failing.py"))
