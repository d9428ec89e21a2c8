"""The copy of the project that tests run processes from."""

from pathlib import Path

import pytest

from tests.checkout import ROOT, compile_project, copy_compiled, copy_project, copy_revision


def files_of(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}


def test_copy_has_the_project_and_nothing_of_this_machine(tmp_path: Path) -> None:
    files = files_of(copy_project(tmp_path / "copy"))
    assert {Path("manage.py"), Path("uv.lock"), Path("tests/checkout.py")} <= files
    tops = {path.parts[0] for path in files}
    assert not tops & {".env", ".git", ".venv", ".uv", "var", "staticfiles"}
    assert not [path for path in files if path.suffix == ".pyc"]


def test_copy_without_git_has_the_same_files(tmp_path: Path) -> None:
    original = copy_project(tmp_path / "original")
    files = files_of(original)
    for ignored in (".env", "var/tidy.sqlite3", ".venv/pyvenv.cfg", "todos/__pycache__/a.pyc"):
        (original / ignored).parent.mkdir(exist_ok=True)
        (original / ignored).touch()
    assert files_of(copy_project(tmp_path / "copy", original)) == files


def test_copy_is_of_the_files_as_they_are_now(tmp_path: Path) -> None:
    copy = copy_project(tmp_path / "copy")
    name = Path(__file__).relative_to(ROOT)
    assert (copy / name).read_bytes() == Path(__file__).read_bytes()


def test_copy_of_a_compiled_copy_need_not_be_compiled_again(tmp_path: Path) -> None:
    original = copy_project(tmp_path / "original")
    compile_project(original)
    (original / "var").mkdir()
    copy = copy_compiled(original, tmp_path / "copy")
    assert not (copy / "var").exists()
    compiled = {path: path.stat().st_mtime_ns for path in copy.rglob("todos/**/*.pyc")}
    assert compiled
    compile_project(copy)  # It writes only what is missing, or older than its source.
    assert {path: path.stat().st_mtime_ns for path in copy.rglob("todos/**/*.pyc")} == compiled


def test_revision_that_the_repository_does_not_have_is_named_with_the_way_out(
    tmp_path: Path,
) -> None:
    with pytest.raises(LookupError, match=r"no commit 0123abc in .*git fetch --unshallow"):
        copy_revision("0123abc", tmp_path / "copy", tmp_path)
