"""What goes wrong between hosts, and with whole hosts: one function for each kind.

Each notes that something is wrong, and what ends it (`Stage.hold`). Nothing else is wrong
meanwhile.
"""

import signal
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic, sleep

from tests.chaos.stage import LIVENESS_SECONDS
from tests.failover import PostgreSQL, wait_until_answers
from tests.hosts.probes import broker_probe, database_probe, in_broker, in_database
from tests.hosts.stage import HOSTS, KINDS, Hosts
from tests.hosts.switch import Link

#: Longer (seconds) than any time-out of Tidy's on this stage.
LONG = 3 * LIVENESS_SECONDS

#: The same, for what no connection survives either: a link that is cut one way.
ONE_WAY = 2 * LIVENESS_SECONDS

#: How long (seconds) the verdict may take to speak of what only time shows, and a little longer.
A_MINUTE, UNTIL_IT_IS_SAID = 60.0, 80.0

#: How long (seconds) the database is away before its standby is promoted.
UNTIL_PROMOTED = 10.0

#: How long (seconds) a probe writes before the fault.
PROBING = 3.0

#: A slow network: half of the time that there and back takes (seconds), and the share that is lost.
SLOW = Link(loss=0.05, delay=0.1)

BLACK_HOLE = Link(loss=1)

type Fault = Callable[[Hosts], None]

#: What is wrong if two kinds of hosts hear nothing of each other, by what the audit calls it, and
#: for how long.
CUTS: dict[tuple[str, str], tuple[str, float]] = {
    ("web", "database"): ("web cut from the database", LONG),
    ("web", "broker"): ("web cut from the broker", LONG),
    # For the rest of the site they are as good as frozen.
    ("workers", "database"): ("all workers frozen", LONG),
    ("workers", "broker"): ("workers cut from the broker", UNTIL_IT_IS_SAID),
    ("schedulers", "database"): ("all schedulers frozen", LONG),
    ("schedulers", "broker"): ("schedulers cut from the broker", UNTIL_IT_IS_SAID),
}


def cut(
    stage: Hosts, one: Sequence[str], other: Sequence[str], kind: str, seconds: float, ways: str
) -> None:
    """Lose all packets between hosts, in silence: both ways, or one way alone."""
    if ways in {"both", "to"}:
        stage.network.connect(one, other, BLACK_HOLE)
    if ways in {"both", "from"}:
        stage.network.connect(other, one, BLACK_HOLE)
    stage.hold(kind, seconds, stage.network.mend)


def cut_one_worker(stage: Hosts) -> None:
    """Cut one worker off from the database, while the others go on."""
    worker = KINDS["workers"][0]
    cut(stage, [worker], KINDS["database"], "worker frozen", LONG, "both")


def cut_one_scheduler(stage: Hosts) -> None:
    """Cut one scheduler off from database and broker; the other one does its work."""
    scheduler = KINDS["schedulers"][0]
    others = [*KINDS["database"], *KINDS["broker"]]
    cut(stage, [scheduler], others, "scheduler frozen", LONG, "both")


def cut_standby(stage: Hosts) -> None:
    """Cut the standby off from the primary, which does not wait for it."""
    cut(stage, ["database0"], ["database1"], "standby cut off", LONG, "both")
    stage.afterwards.append(stage.wait_for_standby)


def cut_synchronous_standby(stage: Hosts) -> None:
    """Cut the standby off from a primary whose commits wait for it."""
    stage.databases[0].configure(synchronous_standby_names="*")
    cut(stage, ["database0"], ["database1"], "database away", LONG, "both")
    stage.afterwards.append(stage.wait_for_standby)
    stage.afterwards.append(lambda: stage.databases[0].configure(synchronous_standby_names=""))


def slow_network(stage: Hosts) -> None:
    """Delay all packets between all hosts, and lose some."""
    stage.network.connect(HOSTS, HOSTS, SLOW)
    stage.hold("network slow", A_MINUTE, stage.network.mend)


def lose_database(
    stage: Hosts, *, synchronous: bool = False, behind: float = 0.0, back_as: str = ""
) -> None:
    """Lose the primary's host without a word, and promote the standby after a while.

    Args:
        synchronous: whether commits wait for the standby.
        behind: by how long (seconds) the standby is behind.
        back_as: `read-only` if the former primary comes back as such.
    """
    primary, standby = stage.databases
    if synchronous:
        primary.configure(synchronous_standby_names="*")
    if behind:
        stage.network.connect([primary.name], [standby.name], Link(delay=behind))
    probe = database_probe(primary)
    sleep(PROBING)
    lost_at = monotonic()
    stage.silence(primary.name)
    primary.kill()

    def promote() -> None:
        stage.promote()
        probe.end()
        stage.measured.append(probe.lost(in_database(standby), lost_at))
        if back_as:
            stage.network.mend()
            come_back_read_only(stage, primary)
        else:
            # Until then its host stays silent, and is the first of DATABASE_URL's.
            stage.afterwards += [stage.network.mend, stage.rejoin]

    stage.hold("database away", UNTIL_PROMOTED, promote)


def come_back_read_only(stage: Hosts, former: PostgreSQL) -> None:
    """Start the former primary as it was, but read-only: nobody may stay with it."""
    former.start(default_transaction_read_only="on")

    def nobody_is_there() -> None:
        with former.connect() as database:
            rows = database.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE usename = 'tidy'"
                " AND backend_type = 'client backend' AND pid != pg_backend_pid()"
            ).fetchall()
        stage.measured.append(f"{rows[0][0]} connections to the read-only one")
        stage.rejoin()

    stage.afterwards.append(nobody_is_there)


def switch_database_over(stage: Hosts) -> None:
    """Turn the primary read-only, with all who are connected to it, and promote the standby."""
    primary, standby = stage.databases
    probe = database_probe(primary)
    sleep(PROBING)
    primary.configure(default_transaction_read_only="on")

    def promote() -> None:
        lost_at = monotonic()
        stage.promote()
        probe.end()
        stage.measured.append(probe.lost(in_database(standby), lost_at))
        stage.afterwards.append(stage.rejoin)

    stage.hold("database away", UNTIL_PROMOTED, promote)


def lose_broker(stage: Hosts) -> None:
    """Lose the host of the broker's primary without a word; it comes back as it was."""
    primary = stage.brokers[0]

    def lose() -> None:
        stage.silence(primary.name)
        primary.kill()

    def back() -> None:
        stage.network.mend()
        primary.start()

    fail_broker_over(stage, lose, back)


def freeze_broker(stage: Hosts) -> None:
    """Freeze the broker's primary until another one is chosen, then thaw it."""
    primary = stage.brokers[0]

    def thaw() -> None:
        primary.signal(signal.SIGCONT)
        wait_until_answers(primary)

    fail_broker_over(stage, lambda: primary.signal(signal.SIGSTOP), thaw)


def cut_primary_of_broker(stage: Hosts) -> None:
    """Cut the broker's primary off from the Sentinels and its replica, and from nobody else."""
    primary = stage.brokers[0]
    others = [host for host in KINDS["broker"] if host != primary.name]

    def cut_off() -> None:
        stage.network.connect([primary.name], others, BLACK_HOLE)
        stage.network.connect(others, [primary.name], BLACK_HOLE)

    fail_broker_over(stage, cut_off, stage.network.mend)


def fail_broker_over(
    stage: Hosts, break_it: Callable[[], object], bring_back: Callable[[], object]
) -> None:
    """Break the broker's primary; the fault ends when the Sentinels have chosen the other one."""
    primary, replica = stage.brokers
    probe = broker_probe(primary)
    sleep(PROBING)
    broken_at = monotonic()
    break_it()

    def chosen() -> None:
        stage.brokers.reverse()
        stage.measured.append(f"the other one chosen after {monotonic() - broken_at:.1f} s")
        stage.afterwards.append(back)

    def back() -> None:
        bring_back()
        stage.wait_for_replica()
        probe.end()
        stage.measured.append(probe.lost(in_broker(replica), broken_at))

    stage.hold("broker away", 3 * LONG, chosen, is_over=lambda: stage.sentinels_agree_on(replica))


def faults() -> dict[str, Fault]:
    """Return all faults, by their names."""
    named: dict[str, Fault] = {}
    for (one, other), (kind, seconds) in CUTS.items():
        for ways, suffix in (("both", ""), ("to", "_one_way"), ("from", "_other_way")):
            lasts = seconds if ways == "both" else ONE_WAY
            named[f"cut_{one}_{other}{suffix}"] = partial(
                cut, one=KINDS[one], other=KINDS[other], kind=kind, seconds=lasts, ways=ways
            )
    for fault in (
        cut_one_worker,
        cut_one_scheduler,
        cut_standby,
        cut_synchronous_standby,
        slow_network,
        lose_database,
        switch_database_over,
        lose_broker,
        freeze_broker,
        cut_primary_of_broker,
    ):
        named[fault.__name__] = fault
    named["lose_database_synchronous"] = partial(lose_database, synchronous=True)
    named["lose_database_far_behind"] = partial(lose_database, behind=0.5)
    named["lose_database_back_read_only"] = partial(lose_database, back_as="read-only")
    return named
