"""How the tests are written: what they share stands where others look for it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sharing import unit

TESTS = Path(__file__).resolve().parent

#: Written by `tests/factories.py` alone, except by what measures and what breaks things.
ROWS = {"Process", "TaskRun", "TrashedTodo"}
WITHOUT_FACTORIES = {"benchmarks", "chaos", "factories.py", "seam"}

#: What begins a fixture that all tests of a module share.
OF_A_MODULE = re.compile(r'^@pytest\.fixture\(scope="module"', re.MULTILINE)


def modules() -> list[Path]:
    found = sorted(TESTS.rglob("*.py"))
    assert len(found) > 50
    return found


def imported_tests(tree: ast.Module) -> Iterator[str]:
    """Yield the test modules that a module imports."""
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            if any(part.startswith("test_") for part in name.split(".")):
                yield name


def rows_written(tree: ast.Module) -> Iterator[str]:
    """Yield the code that writes rows: `X.objects.create(...)`, and `bulk_create` of todos too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            model = ast.unparse(node.func.value).removesuffix(".objects")
            if (node.func.attr == "create" and model in ROWS) or (
                node.func.attr == "bulk_create" and model in ROWS | {"Todo"}
            ):
                yield ast.unparse(node.func)


def test_no_test_module_imports_another() -> None:
    for path in modules():
        assert not list(imported_tests(ast.parse(path.read_text(encoding="utf-8")))), path


def test_tests_that_share_what_is_set_up_for_a_module_run_in_one_process() -> None:
    sharing = [path for path in modules() if OF_A_MODULE.search(path.read_text(encoding="utf-8"))]
    assert TESTS / "browser/conftest.py" in sharing
    for path in sharing:
        test = f"{path.relative_to(TESTS.parent).as_posix()}::test"
        assert unit(test) != test


def test_rows_are_written_by_the_factories() -> None:
    for path in modules():
        if path.relative_to(TESTS).parts[0] not in WITHOUT_FACTORIES:
            assert not list(rows_written(ast.parse(path.read_text(encoding="utf-8")))), path


@pytest.mark.parametrize(
    "code", ["from tests.todos.test_sweep import give", "from tests.todos import test_sweep"]
)
def test_the_rule_notices_an_import(code: str) -> None:
    assert list(imported_tests(ast.parse(code)))


@pytest.mark.parametrize("code", ["TaskRun.objects.create(a=1)", "Todo.objects.bulk_create([])"])
def test_the_rule_notices_a_row(code: str) -> None:
    assert list(rows_written(ast.parse(code)))
