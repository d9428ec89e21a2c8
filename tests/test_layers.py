"""Imports run one way: project -> tasks -> todos -> accounts; services know nothing of delivery."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

#: What each app may import of the project's own packages, besides itself.
ALLOWED = {
    "accounts": set[str](),
    "todos": {"accounts"},
    "tasks": {"accounts", "todos"},
}

#: What a service, and what it is made of, may not know.
DELIVERY = ("dramatiq", "apscheduler", "redis", "django.http", "django.views", "django.shortcuts")

#: The pages, and what the admin's are made of.
PAGES = {"admin.py", "deletion.py", "forms.py", "rights.py", "staff.py", "urls.py", "views.py"}

OURS = {"accounts", "todos", "tasks", "project", "tests"}


def imports(path: Path) -> Iterator[str]:
    """Yield the dotted names of the modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides where it leads"
            yield str(node.module)


def modules(app: str) -> list[Path]:
    found = sorted((ROOT / app).rglob("*.py"))
    assert len(found) > 3, f"{app} has moved"
    return found


@pytest.mark.parametrize("app", ALLOWED)
def test_app_imports_only_what_lies_below_it(app: str) -> None:
    for path in modules(app):
        used = {name.split(".")[0] for name in imports(path)} & OURS
        assert used <= ALLOWED[app] | {app}, path


@pytest.mark.parametrize("app", ["accounts", "todos"])
def test_services_and_models_know_no_view_actor_or_broker(app: str) -> None:
    for path in modules(app):
        if path.name not in PAGES:
            used = [name for name in imports(path) if name.startswith(DELIVERY)]
            assert not used, path


def test_the_rule_notices_an_import_within_a_function(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text("def hidden():\n    from tasks.actors import ping\n    return ping\n")
    assert list(imports(module)) == ["tasks.actors"]
