# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The wire to Redis, against a peer whose answers can be wrong on purpose; and a managed server that does not fit."""

from __future__ import annotations

import socket
import threading
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import BadInput
from ansible_collections.vitalops.rollout.plugins.module_utils._redis import access, managed, wire
from ansible_collections.vitalops.rollout.plugins.module_utils._redis.wire import Address, Login


@pytest.fixture
def says(tmp_path: Path) -> t.Iterator[t.Callable[..., Address]]:
    threads = []

    def listen(*answers: bytes) -> Address:
        path = str(tmp_path / "s")
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(path)
        listening.listen()

        def serve() -> None:
            with listening, listening.accept()[0] as peer:
                for answer in answers:
                    peer.recv(65536)
                    peer.sendall(answer)

        threads.append(threading.Thread(target=serve, daemon=True))
        threads[-1].start()
        return Address(path=path)

    yield listen
    for thread in threads:
        thread.join(5)


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        (b"+OK\r\n", "OK"),
        (b":42\r\n", 42),
        (b"$5\r\na\r\nbc\r\n", "a\r\nbc"),
        (b"$-1\r\n", None),
        (b"*2\r\n$1\r\na\r\n*1\r\n:1\r\n", ["a", [1]]),
        (b"*-1\r\n", None),
    ],
)
def test_an_answer_is_read(says: t.Callable[..., Address], answer: bytes, value: t.Any) -> None:
    with wire.connected(says(answer)) as connection:
        assert connection.ask("X") == value


def test_an_error_of_the_server_is_told_in_its_words(says: t.Callable[..., Address]) -> None:
    with (
        pytest.raises(wire.Refused, match="NOPERM no"),
        wire.connected(says(b"+OK\r\n", b"-NOPERM no\r\n"), Login("shop", "secret")) as connection,
    ):
        connection.ask("KEYS", "*")


@pytest.mark.parametrize("answer", [b"", b"$9\r\nshort", b"HTTP/1.1 400 Bad\r\n", b"$x\r\n"])
def test_a_peer_that_is_no_redis_is_told(says: t.Callable[..., Address], answer: bytes) -> None:
    with pytest.raises(wire.Unreachable), wire.connected(says(answer)) as connection:
        connection.ask("PING")


def test_nobody_there_is_told_with_the_address() -> None:
    with pytest.raises(wire.Unreachable, match="does not answer"), wire.connected(Address("127.0.0.1", 1)):
        pass


WANTED = managed.Wanted(Address("cache"), Login(), "7.0", "allkeys-lru", {"timeout": "300"}, ())
GOOD = {"redis_version": "7.1.0", "maxmemory_policy": "allkeys-lru", "role": "master"}


@pytest.mark.parametrize(
    ("info", "told", "problems"),
    [
        ({}, {"timeout": "300"}, []),
        ({}, {}, []),  # hidden
        ({"redis_version": "6.2.6"}, {}, ["version 6.2.6 instead of 7.0 or newer"]),
        ({"redis_version": "10.0"}, {}, []),
        ({"maxmemory_policy": "noeviction"}, {}, ["maxmemory-policy noeviction instead of allkeys-lru"]),
        ({"role": "slave"}, {}, ["a replica, which takes no writes, instead of the primary"]),
        ({}, {"timeout": "0"}, ["timeout 0 instead of 300"]),
    ],
)
def test_a_managed_server_that_does_not_fit_is_told_why(
    info: dict[str, str], told: dict[str, str], problems: list[str]
) -> None:
    assert managed.misfits({**GOOD, **info}, told, WANTED) == problems


@pytest.mark.parametrize(
    ("value", "bytes_told"),
    [("1gb", "1073741824"), ("5MB", "5242880"), ("2k", "2000"), ("300", "300"), ("allkeys-lru", "allkeys-lru")],
)
def test_sizes_are_compared_in_bytes(value: str, bytes_told: str) -> None:
    assert managed.measured(value) == bytes_told


def test_who_makes_users_is_none_of_them() -> None:
    rule = access.application({"name": "operator", "password": "x"})
    with pytest.raises(BadInput, match="changed by itself"):
        managed.apply(WANTED._replace(login=Login("operator", "x"), rules=(rule,)), check=False)
