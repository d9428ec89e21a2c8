"""Rate limits count in a shared cache, which others may write to, and which may be away."""

import pickle
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import time_machine
from django.core.cache import caches
from django.core.cache.backends.locmem import LocMemCache
from django.test import Client
from pytest_django import Settings

from accounts.limits import seconds_to_wait
from accounts.models import User
from project import cache as shared
from project import sealed
from project import settings as of_the_project
from tests.accounts.people import log_in, words

TOO_MANY = "Too many attempts have failed."


@pytest.fixture
def shared_cache(settings: Settings, valkey: str) -> Iterator[redis.Redis]:
    """The cache as the project has it, in Valkey, and empty: a client of the same."""
    client = begin_anew(settings, valkey)
    yield client
    for key in client.scan_iter("tidy:*"):
        client.delete(key)


@pytest.fixture
def cache_away(settings: Settings, tmp_path: Path) -> None:
    """The cache as the project has it, without a server."""
    begin_anew(settings, f"unix://{tmp_path}/none.sock")


def begin_anew(settings: Settings, address: str) -> redis.Redis:
    """Use the project's cache at this address."""
    ours = of_the_project.CACHES["default"]
    settings.CACHES = {"default": {**ours, "LOCATION": [address]}}
    shared.pause.end()
    forget()
    return redis.Redis.from_url(address)


def forget() -> None:
    """Empty this process's own memory."""
    LocMemCache(shared.MEMORY, {}).clear()


def test_processes_count_together_beside_the_brokers_keys(
    shared_cache: redis.Redis, ann: User
) -> None:
    shared_cache.set("dramatiq:default", "kept")
    for number in range(10):
        log_in(Client(), f"somebody{number}", "wrong")
    forget()  # As another process would begin.
    assert TOO_MANY in words(log_in(Client()))
    kept = shared_cache.keys("tidy:*")
    assert kept
    assert all(0 < shared_cache.ttl(key) <= 3600 for key in kept)
    with pytest.raises(NotImplementedError):
        caches["default"].clear()
    assert shared_cache.get("dramatiq:default") == b"kept"
    shared_cache.delete(*kept, "dramatiq:default")


class Intruder:
    """What creates a file wherever it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.file,)


def test_who_writes_to_the_broker_runs_no_code_in_the_site(
    shared_cache: redis.Redis, ann: User, tmp_path: Path
) -> None:
    log_in(Client(), "somebody", "wrong")
    counted = shared_cache.keys("tidy:*")
    planted = pickle.dumps(Intruder(tmp_path / "run"))
    for key in counted:
        shared_cache.set(key, planted)
    assert log_in(Client()).status_code == 302
    assert not (tmp_path / "run").exists()
    shared_cache.delete(*counted)


HISTORY = "tidy:2:allauth:rl:allauth.account:login_failed:10/60/ip:ip:127.0.0.1"

NOT_OURS = {
    "number": b"5",
    "text": b'"abc"',
    "dictionary": b"{}",
    "null in a list": b"[null]",
    "lists in a list": b"[[1, 2]]",
    "deep": b"[" * 100_000 + b"]" * 100_000,
    "no text": b"\xff\xfe",
    "number of many digits": b"9" * 10_000,
    "far future": b"[" + b", ".join([b"99999999999.0"] * 20) + b"]",
}


@pytest.mark.parametrize("planted", NOT_OURS.values(), ids=NOT_OURS)
@pytest.mark.parametrize("key", [HISTORY, f"{HISTORY}:lock"], ids=["history", "lock"])
def test_who_writes_to_the_broker_neither_breaks_log_ins_nor_locks_anybody_out(
    shared_cache: redis.Redis,
    ann: User,
    caplog: pytest.LogCaptureFixture,
    key: str,
    planted: bytes,
) -> None:
    shared_cache.set(key, planted)
    assert "do not belong together" in words(log_in(Client(), "ann", "wrong"))
    assert log_in(Client()).status_code == 302
    assert 0 < shared_cache.ttl(HISTORY) <= 60
    shared_cache.delete(HISTORY)
    shared_cache.rpush(HISTORY, planted)
    assert log_in(Client()).status_code == 302
    assert "shared cache is away" not in caplog.text


def test_values_of_ours_count_under_no_other_key_and_for_no_longer(
    shared_cache: redis.Redis, ann: User
) -> None:
    for number in range(10):
        log_in(Client(), f"somebody{number}", "wrong", REMOTE_ADDR="192.0.2.1")
    of_another = shared_cache.get(HISTORY.replace("127.0.0.1", "192.0.2.1"))
    shared_cache.set(HISTORY, of_another)  # type: ignore[arg-type]  # It is no awaitable.
    assert log_in(Client()).status_code == 302

    cache = caches["default"]
    assert cache.add("lock", "held", 10)
    kept = shared_cache.get("tidy:2:lock")
    shared_cache.set("tidy:2:lock", kept)  # type: ignore[arg-type]  # It is no awaitable.
    assert not cache.add("lock", "held", 10)
    with time_machine.travel(time.time() + 10 + sealed.SKEW_SECONDS):
        assert cache.get("lock") is None
        assert cache.add("lock", "held", 10)


def test_counter_that_is_no_number_begins_anew(shared_cache: redis.Redis) -> None:
    cache = caches["default"]
    for planted in (b"abc", b"1_000", b" 7", b"9" * 30):
        shared_cache.set("tidy:2:counter", planted)
        assert cache.add("counter", 0, 10)
        assert cache.incr("counter") == 1
    cache.set("counter", 10**30, 10)
    assert cache.get("counter") == 10**30


def test_lock_that_is_let_go_while_one_waits_is_given_to_one_only(
    shared_cache: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = caches["default"]
    assert cache.add("lock", "held", 10)
    look = redis.Redis.get

    def let_go(client: redis.Redis, key: str) -> object:
        shared_cache.delete(key)
        return look(client, key)

    monkeypatch.setattr(redis.Redis, "get", let_go)
    assert not cache.add("lock", "held", 10)
    monkeypatch.undo()
    assert cache.add("lock", "held", 10)


def test_log_in_and_its_limits_work_while_the_broker_is_away(
    cache_away: None, ann: User, caplog: pytest.LogCaptureFixture
) -> None:
    assert log_in(Client()).status_code == 302
    for number in range(10):
        log_in(Client(), f"somebody{number}", "wrong")
    assert TOO_MANY in words(log_in(Client()))
    assert caplog.text.count("shared cache is away") == 1


def test_broker_that_is_silent_delays_one_request_in_a_while(
    settings: Settings, ann: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "TIMEOUT_SECONDS", 0.2)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "silent.sock"))
        silent.listen()
        begin_anew(settings, f"unix://{tmp_path}/silent.sock")
        for _ in range(3):
            assert log_in(Client()).status_code == 302
        # Whoever asks it waits: one has asked.
        silent.settimeout(0)
        silent.accept()[0].close()
        with pytest.raises(BlockingIOError):
            silent.accept()


def test_broker_that_is_back_is_asked_again(
    settings: Settings, valkey: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_anew(settings, f"unix://{tmp_path}/none.sock")
    cache = caches["default"]
    cache.set("seen", "by this process")
    assert cache.get("seen") == "by this process"
    server = begin_anew(settings, valkey)
    shared.pause.begin()
    cache = caches["default"]
    cache.set("seen", "by this process")
    assert server.get("tidy:2:seen") is None
    monkeypatch.setattr(shared, "monotonic", lambda: time.monotonic() + shared.PAUSE_SECONDS)
    cache.set("seen", "by all", 10)
    assert server.exists("tidy:2:seen")
    assert cache.get("seen") == "by all"


def test_counts_are_shared_again_when_the_broker_is_back_and_has_none(
    shared_cache: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is asked of it first is a key that it does not know."""
    shared.pause.begin()
    assert not seconds_to_wait("api:token:1", a_minute=5)
    assert not shared_cache.keys("tidy:*api:token:1*")
    monkeypatch.setattr(shared, "monotonic", lambda: time.monotonic() + shared.PAUSE_SECONDS)
    assert not seconds_to_wait("api:token:1", a_minute=5)
    assert shared_cache.keys("tidy:*api:token:1*")


def test_everything_that_django_asks_of_a_cache_works_with_and_without_the_broker(
    settings: Settings, valkey: str, tmp_path: Path
) -> None:
    for address in (valkey, f"unix://{tmp_path}/none.sock"):
        begin_anew(settings, address)
        cache = caches["default"]
        cache.delete_many(["a", "b", "n"])
        assert cache.add("a", 1, 10)
        assert not cache.add("a", 2, 10)
        assert cache.get_or_set("b", [2], 10) == [2]
        assert cache.get_many(["a", "b", "c"]) == {"a": 1, "b": [2]}
        assert cache.incr("a") == 2
        assert cache.touch("a", 20)
        assert "a" in cache
        assert cache.set_many({"n": None}, 10) == []
        assert cache.get("n", "default") is None
        cache.delete_many(["b", "n"])
        assert cache.delete("a")
        assert cache.get("a") is None
