"""Names lead one way: project -> tasks -> todos -> accounts, and tasks -> tasks.engine, which knows
nothing of the others; services know nothing of delivery.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

#: What each layer may import of the project's own packages, besides itself.
ALLOWED = {
    "accounts": set[str](),
    "todos": {"accounts"},
    "tasks": {"accounts", "todos", "tasks.engine"},
    "tasks.engine": set[str](),
}

#: What each layer may not name in a string, a keyword, an attribute or a template either, such as a
#: relation, a permission or an address.
UNNAMED = {
    "accounts": ("todos", "tasks", "project"),
    "todos": ("tasks", "project"),
    "tasks": ("project",),
    "tasks.engine": ("accounts", "todos", "project"),
}

#: What a layer may not even mention, in code, prose or style sheets: others lift it out as it is.
UNSAID = {
    "tasks.engine": re.compile(
        r"todo|\btidy\b|\btasks[./](?:actors|admin|management|names|schedules|undo)\b",
        re.IGNORECASE,
    )
}

#: Migrations that have landed: they write what the tables of that day hold.
LANDED = {"accounts/migrations/0004_log_names_ids.py"}

#: What a service, and what it is made of, may not know.
DELIVERY = ("dramatiq", "apscheduler", "redis", "django.http", "django.views", "django.shortcuts")

#: Modules and folders of pages and of the API, and of what they share.
PAGES = {"admin", "api", "forms", "middleware", "pages", "staff", "urls", "views"}

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


def folder_of(layer: str) -> Path:
    return ROOT / layer.replace(".", "/")


def modules(layer: str) -> list[Path]:
    found = sorted(folder_of(layer).rglob("*.py"))
    assert len(found) > 3, f"{layer} has moved"
    return found


def layer_of(module: str) -> str:
    engine = module == "tasks.engine" or module.startswith("tasks.engine.")
    return "tasks.engine" if engine else module.split(".", maxsplit=1)[0]


@pytest.mark.parametrize("layer", ALLOWED)
def test_layer_imports_only_what_lies_below_it(layer: str) -> None:
    for path in modules(layer):
        used = {layer_of(name) for name in imports(path) if name.split(".")[0] in OURS}
        assert used <= ALLOWED[layer] | {layer}, path


@pytest.mark.parametrize("layer", UNNAMED)
def test_strings_and_templates_name_no_layer_above(layer: str) -> None:
    for path in [*modules(layer), *folder_of(layer).rglob("templates/**/*.*")]:
        if str(path.relative_to(ROOT)) not in LANDED:
            found = {above: names_of(above, path) for above in UNNAMED[layer]}
            assert not any(found.values()), f"{path}: {found}"


@pytest.mark.parametrize("layer", UNSAID)
def test_layer_does_not_even_mention_the_others(layer: str) -> None:
    found = {
        str(path.relative_to(ROOT)): said
        for path in folder_of(layer).rglob("*.*")
        if path.suffix in {".py", ".html", ".css", ".js", ".txt", ".md"}
        and (said := set(UNSAID[layer].findall(path.read_text(encoding="utf-8"))))
    }
    assert not found


@pytest.mark.parametrize("layer", ["accounts", "todos"])
def test_services_and_models_know_no_view_actor_or_broker(layer: str) -> None:
    for path in modules(layer):
        if PAGES.isdisjoint(path.relative_to(folder_of(layer)).with_suffix("").parts):
            used = [name for name in imports(path) if name.startswith(DELIVERY)]
            assert not used, path


def test_the_rule_notices_an_import_within_a_function(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text("def hidden():\n    from tasks.actors import ping\n    return ping\n")
    assert list(imports(module)) == ["tasks.actors"]


@pytest.mark.parametrize(
    ("module", "layer"),
    [("tasks.names", "tasks"), ("tasks", "tasks"), ("tasks.engine.models.run", "tasks.engine")],
)
def test_the_rule_tells_the_engine_from_the_rest_of_tasks(module: str, layer: str) -> None:
    assert layer_of(module) == layer


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
