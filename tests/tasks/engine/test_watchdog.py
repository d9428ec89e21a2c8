"""The watchdog ends a process whose threads have ended, unless the worker was told to stop."""

import threading
from threading import Event, Thread
from types import SimpleNamespace
from typing import Any

import pytest

from tasks.engine.worker import watchdog as module
from tasks.engine.worker.watchdog import Watchdog


def reasons_to_end(watchdog: Watchdog, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let a watchdog watch until it would end this process; return why."""
    reasons: list[str] = []

    def end(reason: str) -> None:
        reasons.append(reason)
        watchdog.stop()

    monkeypatch.setattr(module, "end_process", end)
    before = set(threading.enumerate())
    watchdog.start()
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
    return reasons


def watch(worker: Any, *, beats: bool = True) -> Watchdog:
    return Watchdog(worker, SimpleNamespace(is_beating=beats))  # type: ignore[arg-type]  # A double.


def worker_with(thread: Thread) -> SimpleNamespace:
    return SimpleNamespace(workers=[thread], consumers={})


def ended_thread() -> Thread:
    thread = Thread(target=bool)
    thread.start()
    thread.join()
    return thread


def test_process_whose_worker_thread_has_ended_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    watchdog = watch(worker_with(ended_thread()))
    assert reasons_to_end(watchdog, monkeypatch) == ["a thread that processes messages has ended"]


def test_process_whose_heartbeat_has_ended_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    over = Event()
    thread = Thread(target=over.wait)
    thread.start()
    watchdog = watch(worker_with(thread), beats=False)
    assert reasons_to_end(watchdog, monkeypatch) == ["the thread of its heartbeat has ended"]
    over.set()
    thread.join()


def test_worker_that_stops_is_not_taken_for_stuck_while_its_threads_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watchdog = watch(worker_with(ended_thread()))
    watchdog.stop()
    assert reasons_to_end(watchdog, monkeypatch) == []
