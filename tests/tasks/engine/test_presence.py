"""Processes that the database hears of and the broker does not, and those that left in order."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import active_count
from time import time
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db.models.functions import Now
from redis.exceptions import ConnectionError  # noqa: A004  (redis-py's name)

from tasks.engine.broker.keys import presence_key
from tasks.engine.broker.presence import LEFT_SECONDS, SignIns, read_presence, sign_in
from tasks.engine.broker.waking import WakingBroker
from tasks.engine.heartbeat import Heartbeat
from tasks.engine.models import Process, ProcessKind
from tasks.engine.models.process import REMEMBERED_FOR
from tasks.engine.monitoring.problems import find_problems
from tasks.engine.monitoring.status import gather
from tests.factories import new_process
from tests.processes import Tidy, wait_until
from tests.proxy import Proxy
from tests.tasks.engine.relaying import relay

ABSENT = re.compile(r"The worker on \S+, process (\d+), does not use this broker: .+")
WORKER = ("rundramatiq", "--processes=1", "--threads=1")


@pytest.fixture
def remembering(broker: WakingBroker) -> WakingBroker:
    """The broker, which has known for long who is there."""
    broker.client.set(presence_key(broker.namespace), 1)
    return broker


def new_worker(*, started: int = 100, **values: Any) -> Process:
    """Write a worker that started so many seconds ago."""
    began = Now() - timedelta(seconds=started)
    return new_process(started_at=began, **{"signs_in": True, "queues": ["default"], **values})


def absent() -> list[str]:
    """Return the process ids of those that the verdict calls absent."""
    return [found[1] for found in map(ABSENT.match, map(str, find_problems(gather()))) if found]


@pytest.mark.django_db(transaction=True)
def test_process_that_does_not_sign_in_is_in_the_verdict_until_it_does(
    remembering: WakingBroker,
) -> None:
    worker = new_worker(pid=2)
    assert absent() == ["2"]
    sign_in(worker.pk)
    assert absent() == []
    assert 0 < remembering.client.ttl(presence_key(remembering.namespace, worker.pk)) <= 60


@pytest.mark.django_db(transaction=True)
def test_nobody_is_called_absent_too_soon_or_for_another_reason(remembering: WakingBroker) -> None:
    new_worker(pid=2, started=50)
    new_worker(pid=3, signs_in=False)  # The version before does not.
    new_worker(pid=4, silent_for=40)  # That is told of anyway.
    assert absent() == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("planted", [b"soon", b"\xff", b"-1", b"9" * 40, b"9" * 5_000])
def test_broker_that_lost_everything_calls_nobody_absent_for_a_while(
    broker: WakingBroker, planted: bytes
) -> None:
    """Also one in which somebody else has written, or whose clock was ahead."""
    workers = [new_worker(pid=2), new_worker(pid=3)]
    broker.client.set(presence_key(broker.namespace), planted)
    assert absent() == []
    sign_in(workers[0].pk)
    assert absent() == []
    since = broker.client.get(presence_key(broker.namespace))
    assert abs(int(str(since, "ascii")) - time()) < 60  # type: ignore[arg-type]  # No awaitable.


@pytest.mark.django_db(transaction=True)
def test_broker_at_which_nobody_ever_signed_in_is_another_one(broker: WakingBroker) -> None:
    def unused() -> bool:
        return "No process uses this broker" in str(list(find_problems(gather())))

    new_worker(pid=2, signs_in=False)
    assert not unused()
    worker = new_worker(pid=3)
    assert unused()
    assert absent() == []
    sign_in(worker.pk)
    assert not unused()


@pytest.mark.django_db(transaction=True)
def test_broker_that_takes_nothing_calls_nobody_absent(remembering: WakingBroker) -> None:
    """Who would sign in cannot: the verdict has the reason, in the server's own words."""
    new_worker(pid=2)
    assert absent() == ["2"]
    remembering.client.config_set("maxmemory", 1)
    try:
        lines = [str(problem) for problem in find_problems(gather())]
    finally:
        remembering.client.config_set("maxmemory", 0)
    assert not any(map(ABSENT.match, lines))
    assert any(
        line.startswith("The broker cannot be used: command not allowed") for line in lines
    ), lines


@pytest.mark.django_db(transaction=True)
def test_sign_in_that_fails_in_whatever_way_is_tried_again(
    broker: WakingBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = [RuntimeError("can't start new thread"), ConnectionError("away")]

    def sign_in_at_last(process: UUID) -> None:
        if failures:
            raise failures.pop()
        sign_in(process)

    monkeypatch.setattr("tasks.engine.broker.presence.sign_in", sign_in_at_last)
    process = uuid4()
    key = presence_key(broker.namespace, process)
    sign_ins = SignIns(process, every_seconds=lambda: 0.01)
    sign_ins.start()
    wait_until(
        lambda: broker.client.exists(key) == 1, seconds=30, otherwise=lambda: "nobody is there"
    )
    sign_ins.stop(told=True)
    assert not broker.client.exists(key)


@pytest.mark.django_db(transaction=True)
def test_broker_that_cannot_be_asked_calls_nobody_absent(
    remembering: WakingBroker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    new_worker()
    assert absent()
    away = WakingBroker(url=f"unix://{tmp_path}/none.sock")
    monkeypatch.setattr("tasks.engine.broker.presence.current_broker", lambda: away)
    assert absent() == []


@pytest.mark.django_db(transaction=True)
def test_process_signs_in_beside_its_heartbeat_and_out_when_it_ends(broker: WakingBroker) -> None:
    threads = active_count()
    heartbeat = Heartbeat(ProcessKind.WORKER)
    key = presence_key(broker.namespace, heartbeat.id)
    with heartbeat:
        wait_until(
            lambda: broker.client.exists(key) == 1, seconds=30, otherwise=lambda: "it does not"
        )
        assert Process.objects.get().signs_in
    assert not broker.client.exists(key)
    assert active_count() == threads


@pytest.mark.django_db(transaction=True)
def test_who_ended_in_order_while_the_database_was_away_is_neither_silent_nor_missing(
    broker: WakingBroker,
) -> None:
    left = new_worker(silent_for=40)
    assert "has sent no heartbeat" in str(list(find_problems(gather())))
    sign_ins = SignIns(left.pk, every_seconds=lambda: 1.0)
    sign_ins.start()
    sign_ins.stop(told=False)
    assert read_presence([left.pk]).left == {left.pk}
    assert timedelta(seconds=LEFT_SECONDS) >= REMEMBERED_FOR
    assert "has sent no heartbeat" not in str(list(find_problems(gather())))

    Process.objects.update(seen_at=Now() - timedelta(seconds=100))
    relay()
    assert not Process.objects.exists()


@pytest.fixture
def cut_off(tidy: Tidy, tmp_path: Path) -> Iterator[tuple[Tidy, Proxy]]:
    """The same, behind a proxy to the broker."""
    tidy.settings = {**tidy.settings, "TASKS_LIVENESS_SECONDS": "5"}
    server = Path(tidy.settings["REDIS_URL"].removeprefix("unix://"))
    proxy = Proxy(tmp_path / "proxy.sock", server)
    yield replace(tidy, settings={**tidy.settings, "REDIS_URL": proxy.address}), proxy
    proxy.close()


@pytest.mark.e2e
def test_worker_without_the_broker_of_the_others_is_told_while_those_do_all_the_work(
    tidy: Tidy, cut_off: tuple[Tidy, Proxy]
) -> None:
    behind_proxy, proxy = cut_off
    elsewhere = replace(
        tidy, settings={**tidy.settings, "REDIS_URL": f"{tidy.settings['REDIS_URL']}?db=1"}
    )

    def verdict() -> str:
        return tidy.manage("tasks_status", "--check").stdout

    def told() -> set[str]:
        return set(ABSENT.findall(verdict()))

    with (
        tidy.start(*WORKER) as well,
        behind_proxy.start(*WORKER) as cut,
        elsewhere.start(*WORKER) as wrong,
    ):
        for worker in (well, cut, wrong):
            worker.wait_for("Worker process is ready")
        wait_until(lambda: len(told()) == 1, seconds=30, otherwise=verdict)
        (first,) = told()
        proxy.close()
        wait_until(lambda: len(told()) == 2, seconds=30, otherwise=verdict)
        assert first in told()
        assert cut.stop() == 0
        assert wrong.stop() == 0
        wait_until(lambda: told() == set(), seconds=30, otherwise=verdict)
