"""Names lead one way: project -> tasks -> todos -> accounts; services know nothing of delivery."""

import ast
import re
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

#: What each folder may not name in a string, a keyword, an attribute or a template either, such as
#: a relation, a permission or an address.
UNNAMED = {
    "accounts": ("todos", "tasks", "project"),
    "todos": ("tasks", "project"),
    "tasks": ("project",),
}

#: Migrations that have landed: they write what the tables of that day hold.
LANDED = {"accounts/migrations/0004_log_names_ids.py"}

#: What a service, and what it is made of, may not know.
DELIVERY = ("dramatiq", "apscheduler", "redis", "django.http", "django.views", "django.shortcuts")

#: Modules and folders of pages, and of what they share.
PAGES = {"admin", "forms", "staff", "urls", "views"}

OURS = {"accounts", "todos", "tasks", "project", "tests"}


def imports(path: Path) -> Iterator[str]:
    """Yield the dotted names of the modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides where it leads"
            yield str(node.module)


def names(path: Path) -> Iterator[str]:
    """Yield the strings of a module, and its keywords and attributes; of a template, its text."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        yield text
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.keyword) and node.arg:
            yield node.arg
        elif isinstance(node, ast.Attribute):
            yield node.attr


def names_of(layer: str, path: Path) -> list[str]:
    """Return what of a file names a layer, as code or an address does and prose does not."""
    named = re.compile(rf"^{layer}(?:$|[.:/])|\b{layer}(?:[.:/]+\w|_)|[_/]{layer}\b")
    return [name for name in names(path) if named.search(name)]


def modules(app: str) -> list[Path]:
    found = sorted((ROOT / app).rglob("*.py"))
    assert len(found) > 3, f"{app} has moved"
    return found


@pytest.mark.parametrize("app", ALLOWED)
def test_app_imports_only_what_lies_below_it(app: str) -> None:
    for path in modules(app):
        used = {name.split(".")[0] for name in imports(path)} & OURS
        assert used <= ALLOWED[app] | {app}, path


@pytest.mark.parametrize("folder", UNNAMED)
def test_strings_and_templates_name_no_layer_above(folder: str) -> None:
    for path in [*modules(folder), *(ROOT / folder).rglob("templates/**/*.*")]:
        if str(path.relative_to(ROOT)) not in LANDED:
            found = {layer: names_of(layer, path) for layer in UNNAMED[folder]}
            assert not any(found.values()), f"{path}: {found}"


@pytest.mark.parametrize("app", ["accounts", "todos"])
def test_services_and_models_know_no_view_actor_or_broker(app: str) -> None:
    for path in modules(app):
        if PAGES.isdisjoint(path.relative_to(ROOT / app).with_suffix("").parts):
            used = [name for name in imports(path) if name.startswith(DELIVERY)]
            assert not used, path


def test_the_rule_notices_an_import_within_a_function(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text("def hidden():\n    from tasks.actors import ping\n    return ping\n")
    assert list(imports(module)) == ["tasks.actors"]


@pytest.mark.parametrize(
    "line",
    [
        'Count("todos")',
        "Q(todos__completed_at__isnull=True)",
        "user.todos.all()",
        'user.has_perm("todos.view_todo")',
        'reverse("admin:todos_todo_changelist")',
        'redirect("/admin/todos/")',
        'cursor.execute("SELECT id FROM todos_todo")',
        'import_module(f"todos.{name}")',
    ],
)
def test_the_rule_notices_a_name(tmp_path: Path, line: str) -> None:
    module = tmp_path / "module.py"
    module.write_text(line)
    assert names_of("todos", module)


def test_the_rule_leaves_prose_alone_and_reads_templates(tmp_path: Path) -> None:
    module, template = tmp_path / "module.py", tmp_path / "page.html"
    module.write_text('help_text = "How long we keep todos. Those of others: none."')
    template.write_text("<p>Your todos.</p>{% url 'admin:todos_todo_changelist' %}")
    assert not names_of("todos", module)
    assert names_of("todos", template)
