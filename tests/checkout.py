"""Copies of the project, for processes that must not meet this checkout's `.env` or `var/`."""

import compileall
import io
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

#: What a walk leaves out, as .gitignore does: anywhere, and at the top alone.
IGNORED = {".env", ".git", ".hypothesis", ".prometheus", ".uv", ".venv", "__pycache__"} | {
    f".{tool}_cache" for tool in ("mypy", "pytest", "ruff")
}
IGNORED_AT_TOP = {"secrets", "staticfiles", "var"}


def copy_project(destination: Path, source: Path = ROOT) -> Path:
    """Copy the project as a fresh clone would have it, with changes that are not committed yet.

    Args:
        destination: a folder that does not exist yet.
        source: the checkout, or an earlier copy of it.

    Returns:
        The destination.
    """
    for path in tracked_files(source) or walked_files(source):
        target = destination / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source / path, target)
    return destination


def compile_project(folder: Path) -> None:
    """Compile a copy of the project but its tests, so that none of its processes has to."""
    compileall.compile_dir(folder, quiet=2, rx=re.compile(re.escape(f"{folder / 'tests'}/")))


def copy_compiled(source: Path, destination: Path) -> Path:
    """Copy a copy of the project that has been compiled.

    Returns:
        The destination.
    """

    def ignored(folder: str, names: list[str]) -> set[str]:
        return IGNORED_AT_TOP if Path(folder) == source else set()

    return Path(shutil.copytree(source, destination, ignore=ignored))


def copy_revision(revision: str, destination: Path, source: Path = ROOT) -> Path:
    """Copy the project as it was at a commit.

    Args:
        revision: the commit.
        destination: a folder that does not exist yet.
        source: the checkout.

    Returns:
        The destination.

    Raises:
        LookupError: the repository does not have the commit, or git cannot say.
    """
    command = ["git", "-C", str(source), "archive", "--format=tar", revision]
    try:
        archive = subprocess.run(command, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        said = error.stderr.decode() if isinstance(error, subprocess.CalledProcessError) else error
        raise LookupError(
            f"There is no commit {revision} in {source}; a shallow clone gets its past by"
            f" `git fetch --unshallow`. Git says: {said}"
        ) from error
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(destination, filter="data")
    return destination


def tracked_files(source: Path) -> list[Path]:
    """Return the files that git tracks or would, relative to `source`; none where git cannot say.

    It cannot where it is not installed, and in a folder that is no repository of its own.
    """
    if not (source / ".git").exists():
        return []
    command = ["git", "-C", str(source), "ls-files", "-z", "-co", "--exclude-standard"]
    try:
        listed = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return []
    paths = [Path(name) for name in listed.split("\0") if name]
    # A file that was deleted stays listed until that is committed.
    return [path for path in paths if (source / path).is_file()]


def walked_files(source: Path) -> Iterator[Path]:
    """Yield the files of the project, relative to `source`, without what .gitignore names."""
    for folder, subfolders, files in os.walk(source):
        ignored = IGNORED | IGNORED_AT_TOP if Path(folder) == source else IGNORED
        subfolders[:] = [name for name in subfolders if name not in ignored]
        for name in files:
            if name not in ignored:
                yield (Path(folder) / name).relative_to(source)
