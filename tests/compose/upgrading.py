"""To the next version, to some that do not work, and back, while people use the site."""

import re
import time

from tests.compose import versions
from tests.compose.load import Load
from tests.compose.outage import ENDED, begin_sweep
from tests.compose.report import Report
from tests.compose.stack import Stack, wait_for
from tests.compose.starting import check_counts
from tests.compose.visitor import Visitor

REPLACED = ("web", "worker", "scheduler")

ADDED = "SELECT count(*) FROM todos_todo WHERE title LIKE 'Load %'"
COLUMN = "SELECT count(*) FROM information_schema.columns WHERE column_name = 'next_version'"

NOW = "SELECT extract(epoch FROM now())::bigint"

#: Minutes since a moment (seconds since 1970), but for the last one.
SLOTS = """
    SELECT count(*) FROM generate_series(
        date_trunc('minute', to_timestamp({since}) + interval '1 minute'),
        now() - interval '1 minute', interval '1 minute'
    ) AS slot
"""

#: Those that had no ping, or whose ping did not get through.
LOST = f"""
    {SLOTS} WHERE NOT EXISTS (
        SELECT FROM tasks_taskrun
        WHERE task = 'ping' AND scheduled_for = slot AND state = 'succeeded'
    )
"""


def upgrade(stack: Stack, report: Report, people: list[Visitor]) -> None:
    """Upgrade in mid-sweep, with a migration."""
    before = {service: stack.containers(service) for service in REPLACED}
    completed = begin_sweep(stack)
    versions.make_next(stack.folder)
    began = stack.number(NOW)
    _under_load(stack, report, people, "upgrade with a migration", "deploy/upgrade.sh")
    after = {service: stack.containers(service) for service in REPLACED}
    counts = {service: len(found) for service, found in after.items()}
    replaced = all(not set(before[name]) & set(after[name]) for name in REPLACED)
    as_many = all(len(before[name]) == counts[name] for name in REPLACED)
    report.check("all replaced, as many as before", counts, holds=replaced and as_many)
    column = stack.number(COLUMN)
    report.check("the new column", column, holds=column == 1)
    wait_for(lambda: stack.number(ENDED) == 1, seconds=240, what="the sweep's end")
    check_counts(stack, report, "the sweep that was under way", completed)
    slots, lost = SLOTS.format(since=began), LOST.format(since=began)
    wait_for(lambda: stack.number(slots) > 1, seconds=180, what="slots since then")
    pings, without = stack.number(slots), stack.number(lost)
    report.check("slots of the ping lost meanwhile", f"{without} of {pings}", holds=without == 0)
    stack.run("docker compose up --detach --wait")
    same = stack.containers("web") == after["web"]
    report.check("`docker compose up` afterwards keeps web as it is", same, holds=same)
    stack.run("docker compose exec -T web python manage.py check")


def fail_to_migrate(stack: Stack, report: Report, people: list[Visitor]) -> None:
    """Try a version whose migration fails."""
    before = stack.containers()
    migration = versions.add_failing(stack.folder)
    what = "a migration that fails"
    _under_load(stack, report, people, what, "deploy/upgrade.sh", fails=True)
    report.check("... leaves all as it was", len(before), holds=stack.containers() == before)
    migration.unlink()


def fail_to_start(stack: Stack, report: Report, people: list[Visitor]) -> None:
    """Try a version that does not serve."""
    before = stack.containers()
    configuration = stack.folder / "gunicorn.conf.py"
    good = configuration.read_text()
    configuration.write_text("raise SystemExit('broken')\n")
    what = "a version that does not start"
    _under_load(stack, report, people, what, "deploy/upgrade.sh", fails=True)
    report.check("... leaves all as it was", len(before), holds=stack.containers() == before)
    configuration.write_text(good)


def go_back(stack: Stack, report: Report, people: list[Visitor]) -> None:
    """Go back to the image before, on the new schema."""
    _under_load(stack, report, people, "back to the version before", "deploy/upgrade.sh back")
    find = f"grep -q '{versions.MARK}' project/draining.py"
    for service in REPLACED:
        stack.run(f"! docker compose exec -T {service} {find}")
    report.check("the version before runs, on the new schema", "yes", holds=True)
    completed = begin_sweep(stack)
    wait_for(lambda: stack.number(ENDED) == 1, seconds=240, what="the sweep's end")
    check_counts(stack, report, "it sweeps", completed)


def _under_load(
    stack: Stack,
    report: Report,
    people: list[Visitor],
    what: str,
    script: str,
    *,
    fails: bool = False,
) -> None:
    """Run a script while people work; no request of theirs may fail, nor be lost or doubled."""
    had = stack.number(ADDED)
    began = time.monotonic()
    with Load(people) as load:
        done = stack.try_to(script)
        took = time.monotonic() - began
        time.sleep(3)
    said = re.findall(r"^upgrade: .*", done.stdout, re.MULTILINE)
    if fails is not bool(done.returncode):
        report.check(what, done.stdout[-2000:], holds=False)
    report.check(
        f"{what}: requests that failed",
        f"{load.wrong.total()} of {load.requests} in {took:.0f} s, slowest {load.slowest:.1f} s"
        f" {' '.join(said)} {dict(load.wrong.most_common(3)) or ''}",
        holds=not load.wrong and load.requests > 100,
    )
    added = stack.number(ADDED) - had
    report.check("... todos added", f"{added} of {load.added}", holds=added == load.added)
