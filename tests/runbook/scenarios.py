"""What is tried, one after the other, on one host."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path

from tests.runbook.host import CommandsFailed, Host
from tests.runbook.page import PAGE, chapter
from tests.runbook.repository import BEFORE, BROKEN, NEXT, THIS, Repository
from tests.runbook.site import ENQUEUE, SETTINGS, Site
from tests.runbook.table import Table

UNFINISHED = "SELECT count(*) FROM tasks_taskrun WHERE finished_at IS NULL AND task <> 'ping'"
OTHERS = "SELECT count(*) FROM tasks_taskrun WHERE task = 'requests.prune' AND trigger = 'api'"
SUCCEEDED = f"{OTHERS} AND state = 'succeeded'"


class Stage(Site):
    """The host, and the site that runs on it.

    Attributes:
        eligible: the todos that a cleanup would sweep when nothing has been swept yet.
    """

    def __init__(self, host: Host, table: Table, repository: Repository) -> None:
        super().__init__(host, table)
        self.repository = repository
        self.eligible = 0

    def deploy(self) -> None:
        version = BEFORE if self.repository.has_before else THIS
        with self.table.part("Deploy without containers"):
            self.host.variables["VERSION"] = version
            page = self.repository.page_before if version == BEFORE else PAGE
            self.host.execute(chapter("deploy", page))
            self.table.add("is the version; healthy, as its page checks it", version)
            owned = "SELECT count(*) FROM pg_class JOIN pg_roles r ON relowner = r.oid"
            self.table.add(
                "tables that the processes' role owns",
                self.number(f"{owned} WHERE rolname = 'tidy'"),
                wanted=0,
            )
            mode = (self.host.root / "srv/tidy/.env").stat().st_mode & 0o777
            self.table.add("mode of .env", f"{mode:o}", wanted="640")
        with (self.host.root / "srv/tidy/.env").open("a", encoding="utf-8") as file:
            file.write(SETTINGS)
        self.execute(
            "UPDATE tasks_schedule SET every = 1, effective_since = now() WHERE task = 'ping'"
        )
        for unit in ("tidy-web@1", "tidy-web@2", "tidy-worker", "tidy-scheduler"):
            self.host.services.restart(unit)
        self.eligible = self.seed()

    def restore_todos(self, run: int) -> None:
        """Bring back what a sweep took, due as before."""
        self.host.manage("restore_todos", f"--run={run}")
        self.execute("UPDATE todos_todo SET restored_at = NULL")

    def replace(self, what: str, version: str, name: str, *, batch_size: int) -> None:
        """Go to a version by a chapter of the page, under load and in mid-sweep.

        Args:
            what: for the table.
            version: where to.
            name: the chapter.
            batch_size: of the sweep, so small that it lasts until the worker is replaced.
        """
        with self.table.part(f"{what}, under load and in mid-sweep, to the version: {version}"):
            # A name for these todos alone: a version may come twice.
            with self.under_load(f"{name} {version}"):
                run = self.begin_sweep(batch_size=batch_size)
                self.host.variables["VERSION"] = version
                self.host.execute(chapter(name))
            self.wait_for_end(run)
            self.check_sweep(run, self.eligible, interrupted=True)
            self.check_healthy()
            self.check_slots()
            self.check_services()
            self.restore_todos(run)

    def dump(self) -> Path:
        self.host.execute(chapter("dump"))
        return max((self.host.root / "var/backups/tidy/dumps").glob("tidy-*.dump"))

    def restore_dump(self, dump: Path) -> str:
        self.host.variables["DUMP"] = str(dump)
        return self.host.execute(chapter("restore-dump"))


def upgrades(stage: Stage) -> None:
    if stage.repository.has_before:
        stage.replace("Upgrade", THIS, "upgrade", batch_size=3)
    stage.replace("Upgrade with a migration", NEXT, "upgrade", batch_size=3)
    stage.replace("Go back one version, on the new schema", THIS, "back", batch_size=10)


def stop_and_start(stage: Stage) -> None:
    host, table = stage.host, stage.table
    with table.part("Stop everything in mid-sweep, and start it again"):
        run = stage.begin_sweep()
        host.execute(chapter("stop"))
        table.add("services of Tidy that still run", len(host.services.running), wanted=0)
        table.add("addresses that are still open", len(host.services.sockets), wanted=0)
        host.execute(chapter("start"))
        stage.wait_for_end(run)
        stage.check_sweep(run, stage.eligible, interrupted=True)
        stage.check_healthy()
        stage.check_slots()
        stage.check_services()
        stage.restore_todos(run)


def failed_upgrade(stage: Stage) -> None:
    with stage.table.part("Upgrade to a version that does not load, under load"):
        with stage.under_load(BROKEN):
            stage.host.variables["VERSION"] = BROKEN
            try:
                stage.host.execute(chapter("upgrade"))
            except CommandsFailed as failed:
                stage.table.add("ended in the middle", "yes")
                stage.table.add(str(failed).strip().splitlines()[-1][:100], "")
            else:
                stage.table.add("ended in the middle", "no", wanted="yes")
            stage.host.variables["VERSION"] = THIS
            stage.host.execute(chapter("back"))
        stage.check_healthy()
        stage.check_services()


def dumps(stage: Stage) -> None:
    host, table = stage.host, stage.table
    with table.part("Restore a dump, with unfinished runs and their messages still in Valkey"):
        run = stage.begin_sweep()
        of_a_running_sweep = stage.dump()
        host.services.stop("tidy-worker")
        host.manage("shell", "-v0", "-c", ENQUEUE.format(number=20))
        swept = stage.number(f"SELECT count(*) FROM todos_trashedtodo WHERE run_id = {run}")
        table.add("todos swept at the time of the dump", swept)
        dump = stage.dump()
        host.manage("shell", "-v0", "-c", ENQUEUE.format(number=10))
        dropped = stage.dropped()
        stage.wait_for_silence(dump)
        said = stage.restore_dump(dump)
        table.add("unfinished runs that after_restore names", said.count("is unfinished"))
        stage.wait_for_end(run)
        stage.check_sweep(run, stage.eligible)
        stage.wait(lambda: stage.number(SUCCEEDED) == 20, "runs are missing")
        table.add("other runs of the dump that have run", stage.number(SUCCEEDED), wanted=20)
        stage.wait(lambda: stage.dropped() >= dropped + 10, "messages are not dropped")
        table.add("messages of lost runs, dropped", stage.dropped() - dropped, wanted=10)
        table.add("runs that they made of these", stage.number(OTHERS) - 20, wanted=0)
        stage.check_healthy()
        stage.check_services()
    with table.part("Restore a dump of a running sweep, with an empty Valkey"):
        host.execute("systemctl stop tidy.target tidy-web.socket")
        stage.empty_valkey()
        stage.restore_dump(of_a_running_sweep)
        stage.wait_for_end(run)
        stage.check_sweep(run, stage.eligible)
        table.add("unfinished runs", stage.number(UNFINISHED), wanted=0)
        stage.check_healthy()
        stage.check_services()
        stage.restore_todos(run)


def moments(stage: Stage) -> None:
    host, table = stage.host, stage.table
    with table.part("Restore to a moment before the last night"):
        host.execute(chapter("archive"))
        stage.check_healthy()
        slot = stage.plan_cleanup()
        night = f"scheduled_for = '{slot}' AND task = 'todo.cleanup' AND state = 'succeeded'"
        ended = f"SELECT count(*) FROM tasks_taskrun WHERE {night}"
        stage.wait(lambda: stage.number(ended) == 1, "the night has not come")
        lost = stage.add_todo()
        table.add("todos that the night has left", stage.due(), wanted=0)
        (base,) = (host.root / "var/backups/tidy/base").iterdir()
        moment = slot - timedelta(seconds=2)
        host.variables.update(MOMENT=f"{moment:%Y-%m-%d %H:%M:%S+00}", BASE=str(base))
        said = host.execute(chapter("restore-moment"))
        skipped = said.count("Skipped 1 slot of todo.cleanup")
        table.add("slots of the cleanup that after_restore skipped", skipped, wanted=1)
        stage.check_healthy()
        table.add("todos that are back, and not swept again", stage.due(), wanted=stage.eligible)
        table.add("is the id of a lost todo used again", stage.add_todo() <= lost, wanted=False)
        run = stage.begin_sweep()
        stage.wait_for_end(run)
        stage.check_sweep(run, stage.eligible)
        stage.check_slots()
        stage.check_services()


SCENARIOS: Mapping[str, Callable[[Stage], None]] = {
    "upgrades": upgrades,
    "stop_and_start": stop_and_start,
    "failed_upgrade": failed_upgrade,
    "dumps": dumps,
    "moments": moments,
}
