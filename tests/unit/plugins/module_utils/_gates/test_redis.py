# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks at Redis with a stand-in for its library, which the toolchain does not have.

It comes in through the parameter *library* of the sampler. A real server is for the tests on real hosts.
"""

from __future__ import annotations

import ssl
import time
import types
import typing as t

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._gates import redis, specification
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.look import Look, Sampler
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.verdict import (
    ERROR,
    FAIL,
    INCONCLUSIVE,
    NO_DATA,
    PASS,
)

CONNECTION = {"host": "cache", "port": 6379, "user": None, "password": "hunter2-hunter2", "tls": False}


class RedisError(Exception):
    pass


class ConnectionFailed(RedisError):
    pass


class TimedOut(RedisError):
    pass


class Denied(ConnectionFailed):
    pass


class Server:
    """Stands in for the library and a client of it. *info*: what the server says of itself, changed by the test."""

    exceptions = types.SimpleNamespace(
        RedisError=RedisError, ConnectionError=ConnectionFailed, TimeoutError=TimedOut, AuthenticationError=Denied
    )

    def __init__(self, fails: Exception | None = None, queue: tuple[str, int] = ("none", 0), **info: t.Any) -> None:
        self.info_now: dict[str, t.Any] = {"run_id": "a", "used_memory": 50, "maxmemory": 100, **info}
        self._fails = fails
        self._queue = queue
        self.options: dict[str, t.Any] = {}
        self.readings = self.disconnects = 0
        self.asked: list[t.Any] = []
        self.connection_kwargs: dict[str, t.Any] = {"retry": 3}
        self.connection_pool = self

    def Redis(self, **options: t.Any) -> Server:
        self.options = options
        return self

    def ping(self) -> None:
        assert "retry" not in self.connection_kwargs
        if self._fails:
            raise self._fails

    def info(self) -> dict[str, t.Any]:
        self.readings += 1
        return dict(self.info_now)

    def type(self, key: str) -> str:
        self.asked.append(key)
        return self._queue[0]

    def execute_command(self, *words: str) -> int:
        self.asked.append(words)
        return self._queue[1]

    def disconnect(self) -> None:
        self.disconnects += 1


def sampler(server: Server, connection: t.Mapping[str, t.Any] | None = None, **told: t.Any) -> Sampler:
    (gate,) = specification.read({"bake": [{"name": "x", "type": "redis", **told}]})
    return redis.sampler(gate, CONNECTION if connection is None else connection, lambda: server)


def follower(state: str) -> dict[str, t.Any]:
    """Returns what a server says that has one replica, as the library tells it."""
    return {"connected_slaves": 1, "slave0": {"ip": "192.0.2.7", "port": 6379, "state": state, "offset": 7, "lag": 0}}


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> types.SimpleNamespace:
    """A clock on which only sleeping, and the test itself, takes time."""
    found = types.SimpleNamespace(now=0.0)

    def sleep(seconds: float) -> None:
        found.now += seconds

    monkeypatch.setattr(redis, "time", types.SimpleNamespace(monotonic=lambda: found.now, sleep=sleep))
    return found


@pytest.mark.parametrize(
    ("limits", "info", "verdict", "words"),
    [
        ({"at_most": {"memory_share": "50 %"}}, {}, PASS, "memory_share 50 %, at most 50 %"),
        ({"at_most": {"memory_share": "49 %"}}, {}, FAIL, "memory_share 50 %, at most 49 %"),
        ({"at_most": {"memory": "1 kB"}}, {"maxmemory": 0, "used_memory": 1000}, PASS, "memory 1 kB, at most 1 kB"),
        ({"at_most": {"memory": "1 KiB"}}, {"used_memory": 2048}, FAIL, "memory 2.05 kB, at most 1.02 kB"),
        ({"at_most": {"memory_share": "49 %"}}, {"maxmemory": 0}, NO_DATA, "memory_share unknown, at most 49 %"),
        ({"at_least": {"replicas": 1}}, follower("online"), PASS, "replicas 1, at least 1"),
        ({"at_least": {"replicas": 1}}, follower("wait_bgsave"), FAIL, "replicas 0, at least 1"),
        ({"at_least": {"replicas": 1}}, {"connected_slaves": 0}, FAIL, "replicas 0, at least 1"),
        ({"at_least": {"replicas": 1}}, {}, NO_DATA, "replicas unknown, at least 1"),
    ],
)
def test_what_the_server_says_of_itself(
    limits: dict[str, t.Any], info: dict[str, t.Any], verdict: str, words: str
) -> None:
    server = Server(**info)
    assert sampler(server, **limits)(5) == Look(verdict, [words])
    assert (server.readings, server.disconnects) == (1, 1)


def test_evictions_are_counted_from_look_to_look_and_within_the_first_one(clock: types.SimpleNamespace) -> None:
    server = Server(evicted_keys=1000)
    look = sampler(server, at_most={"evictions": "5 /s"})
    assert look(5) == Look(PASS, ["evictions 0 /s, at most 5 /s"])
    assert (server.readings, clock.now) == (2, 1.0)
    server.info_now["evicted_keys"], clock.now = 1060, 11.0
    assert look(5) == Look(FAIL, ["evictions 6 /s, at most 5 /s"])
    assert server.readings == 3


def test_a_rate_is_never_taken_over_a_moment(clock: types.SimpleNamespace) -> None:
    server = Server(evicted_keys=1000)
    look = sampler(server, at_most={"evictions": "5 /s"})
    look(5)
    clock.now = 1.005  # the next look, of a gate that looks every second
    server.info_now["evicted_keys"] += 1
    assert look(5) == Look(PASS, ["evictions 1 /s, at most 5 /s"])
    assert clock.now == 2.0


@pytest.mark.parametrize("change", [{"run_id": "b", "evicted_keys": 2000}, {"evicted_keys": 3}])
def test_counters_that_began_anew_are_read_twice_again(change: dict[str, t.Any], clock: types.SimpleNamespace) -> None:
    server = Server(evicted_keys=1000)
    look = sampler(server, at_most={"evictions": "5 /s"})
    look(5)
    server.info_now.update(change)
    clock.now = 11.0
    assert look(5).verdict == PASS
    assert server.readings == 4


def test_the_hit_share_is_of_the_lookups_since_the_watch_began_and_too_few_prove_nothing(
    clock: types.SimpleNamespace,
) -> None:
    server = Server(keyspace_hits=1_000_000, keyspace_misses=0)  # a good past hides nothing
    look = sampler(server, at_least={"hit_share": "60 %"}, min_samples=100)
    assert look(5).verdict == NO_DATA
    clock.now = 5.0
    server.info_now["keyspace_hits"] += 99
    assert look(5) == Look(INCONCLUSIVE, ["99 lookups, at least 100", "hit_share unknown, at least 60 %"])
    clock.now = 10.0
    server.info_now["keyspace_misses"] += 1
    assert look(5) == Look(PASS, ["hit_share 99 %, at least 60 %"])
    clock.now = 15.0
    server.info_now["keyspace_misses"] += 100
    assert look(5) == Look(FAIL, ["hit_share 49.5 %, at least 60 %"])


def test_a_limit_that_is_broken_fails_while_lookups_are_few() -> None:
    server = Server(maxmemory=100, used_memory=99)
    look = sampler(server, at_most={"memory_share": "80 %"}, at_least={"hit_share": "60 %"}, min_samples=100)
    assert look(5).verdict == FAIL


def test_without_any_lookup_there_is_no_hit_share() -> None:
    assert sampler(Server(), at_least={"hit_share": "60 %"})(5).verdict == NO_DATA


@pytest.mark.parametrize(
    ("queue", "verdict", "words", "command"),
    [
        (("none", 0), PASS, "queue_length 0, at most 10", None),
        (("list", 10), PASS, "queue_length 10, at most 10", "LLEN"),
        (("zset", 11), FAIL, "queue_length 11, at most 10", "ZCARD"),
        (("stream", 1), PASS, "queue_length 1, at most 10", "XLEN"),
        (("string", 1), ERROR, "the key jobs is of type string, not list, zset, stream", None),
    ],
)
def test_the_length_of_a_queue(queue: tuple[str, int], verdict: str, words: str, command: str | None) -> None:
    server = Server(queue=queue)
    assert sampler(server, queue="jobs", at_most={"queue_length": 10})(5) == Look(verdict, [words])
    assert server.asked == ["jobs", *([(command, "jobs")] if command else [])]


def test_the_lookups_of_the_gate_itself_are_no_hits(clock: types.SimpleNamespace) -> None:
    class Counting(Server):
        def type(self, key: str) -> str:
            self.info_now["keyspace_misses"] += 1
            return super().type(key)

    server = Counting(keyspace_hits=0, keyspace_misses=0)
    look = sampler(server, queue="jobs", at_most={"queue_length": 10}, at_least={"hit_share": "60 %"}, min_samples=2)
    look(5)
    for _number in range(3):
        clock.now += 5
        server.info_now["keyspace_hits"] += 2
        assert "hit_share 100 %, at least 60 %" in look(5).words


def failure(kind: type[Exception], text: str, cause: Exception) -> Exception:
    found = kind(text)
    found.__context__ = cause
    return found


@pytest.mark.parametrize(
    ("fails", "verdict", "words"),
    [
        (ConnectionFailed("Error 111 connecting to cache:6379."), FAIL, "connection: refused, Error 111"),
        (ConnectionFailed("Redis is loading\nthe dataset"), FAIL, "connection: refused, Redis is loading the"),
        (TimedOut("Timeout reading from socket"), FAIL, "connection: no answer within 5 s"),
        (Denied("Authentication required."), ERROR, "connection: Authentication required."),
        (RedisError("WRONGPASS invalid"), ERROR, "WRONGPASS invalid"),
        (
            RedisError("unknown command, with: 'hunter2-hunter2'"),
            ERROR,
            "unknown command, with: '*",
        ),
        (failure(ConnectionFailed, "Error 1", ssl.SSLCertVerificationError()), ERROR, "connection: Error 1"),
        (ValueError("hunter2"), ERROR, "the sampler broke: ValueError"),
    ],
)
def test_a_cache_that_is_gone_fails_and_a_mistake_of_the_gate_is_an_error(
    fails: Exception, verdict: str, words: str
) -> None:
    server = Server(fails)
    seen = sampler(server, at_least={"replicas": 0})(5)
    assert seen.verdict == verdict
    assert seen.words[0].startswith(words)
    assert "hunter2" not in str(seen)
    assert server.disconnects == 1


def test_tls_is_asked_for_with_its_authorities(tmp_path: t.Any) -> None:
    server = Server(connected_slaves=0)
    assert sampler(server, {**CONNECTION, "tls": True, "ca_path": None}, at_least={"replicas": 0})(5).verdict == PASS
    assert (server.options["ssl"], server.options["ssl_check_hostname"]) == (True, True)
    missing = {**CONNECTION, "tls": True, "ca_path": str(tmp_path / "ca.pem")}
    seen = sampler(server, missing, at_least={"replicas": 0})(5)
    assert (seen.verdict, "No such file" in seen.words[0]) == (ERROR, True)


def test_a_server_that_hangs_is_left_behind() -> None:
    class Hanging(Server):
        def info(self) -> dict[str, t.Any]:
            time.sleep(1.5)
            return super().info()

    look = sampler(Hanging(connected_slaves=0), at_least={"replicas": 0}, timeout="100 ms")
    began = time.monotonic()
    assert look(5) == Look(FAIL, ["connection: no answer within 0.1 s"])
    assert time.monotonic() - began < 1.4


def test_a_missing_library_is_named_and_this_module_is_not_taken_for_it() -> None:
    (gate,) = specification.read({"bake": [{"name": "x", "type": "redis", "at_least": {"replicas": 0}}]})

    def missing() -> t.Any:
        raise ModuleNotFoundError("redis")

    seen = redis.sampler(gate, CONNECTION, missing)(5)
    assert (seen.verdict, "install python3-redis" in seen.words[0]) == (ERROR, True)


def test_the_library_is_not_this_module(monkeypatch: pytest.MonkeyPatch) -> None:
    library = types.ModuleType("redis")
    monkeypatch.setitem(__import__("sys").modules, "redis", library)
    assert redis._redis() is library
