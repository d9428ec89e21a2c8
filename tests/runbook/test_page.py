"""The runbook's commands are complete: each is tried, and a shell can read it."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.checkout import ROOT
from tests.runbook.host import new_host
from tests.runbook.page import PAGE, blocks, chapter, chapters
from tests.runbook.proxy import nginx_program, write_configuration
from tests.runbook.scenarios import SCENARIOS
from tests.servers import free_port

#: Any block for a shell, marked or not.
SHELL = re.compile(
    r"(<!-- (?:runbook|compose): [\w -]+ -->\n)?^```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE
)

#: What `make compose-test` tries.
OF_CONTAINERS = re.compile(r"docker compose|^deploy/", re.MULTILINE)


def test_every_block_for_a_shell_is_tried_but_what_is_the_readers_own() -> None:
    found = SHELL.findall(PAGE.read_text(encoding="utf-8"))
    unmarked = [code for marked, code in found if not marked and not OF_CONTAINERS.search(code)]
    assert len(found) > 10
    assert len(unmarked) == 1
    assert unmarked[0].startswith("REPOSITORY=")


def test_chapters_are_those_that_are_tried() -> None:
    source = "".join(
        (Path(__file__).parent / name).read_text(encoding="utf-8")
        for name in ("scenarios.py", "site.py", "proxy.py")
    )
    tried = set(re.findall(r'chapter\("([\w-]+)"[,)]', source))
    tried |= set(re.findall(r'stage\.replace\([^)]*, "([\w-]+)"', source))
    assert chapters() == tried
    assert len(SCENARIOS) > 3


@pytest.mark.parametrize("name", sorted(chapters() - {"nginx"}))
@pytest.mark.processes
def test_a_shell_can_read_the_chapter(name: str) -> None:
    done = subprocess.run(
        ["/bin/bash", "-n"], input=chapter(name), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_uv_is_the_one_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (version,) = re.findall(r"^UV_VERSION := (\S+)$", makefile, re.MULTILINE)
    assert f"uv=={version}\n" in chapter("deploy")


def test_variables_are_set_on_the_page_before_they_are_used() -> None:
    given = {"REPOSITORY", "VERSION", "SITE", "DUMP", "MOMENT", "BASE"}
    for names, language, code in blocks():
        if language == "sh":
            used = set(re.findall(r"\$([A-Z_]+)", code))
            own = set(re.findall(r"^([A-Z_]+)=", "".join(map(chapter, names)), re.MULTILINE))
            assert used <= given | own, names
    text = PAGE.read_text(encoding="utf-8")
    for name in given:
        assert re.search(rf"^{name}=|`{name}`", text, re.MULTILINE), name


@pytest.mark.processes
def test_nginx_takes_the_block_of_the_page() -> None:
    program = nginx_program()
    if program is None:
        pytest.skip("there is no nginx here")
    with new_host() as host:
        file = write_configuration(host, free_port(), free_port())
        done = subprocess.run(
            [program, "-t", "-c", str(file)], capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr
    assert "warn" not in done.stderr
