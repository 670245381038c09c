# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections to a slot on real sockets: what lasts counts, and what cannot be seen does not."""

from __future__ import annotations

import os
import socket
import threading
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation import engine
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import CommandFailed
from ansible_collections.vitalops.rollout.plugins.module_utils._guard import busy
from ansible_collections.vitalops.rollout.plugins.module_utils._slots import record
from ansible_collections.vitalops.rollout.plugins.module_utils._slots.definition import Definition, Process, Release


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(busy, "BETWEEN_LOOKS", 0.2)


@pytest.fixture
def listening() -> t.Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def slot(root: Path, runtime: str, port: int) -> record.Paths:
    """A slot with one web instance on *port*, in its container or on the host, and a worker."""
    paths = record.Paths("shop", str(root))
    processes = (Process("web", "web", container_port=port), Process("worker", "worker"))
    release = Release("1.0.0-aaa", "1.0.0", "sha256:1", "registry/shop")
    base = port if runtime == "systemd" else 18000
    definition = Definition("shop", "blue", runtime, release, processes, base, "127.0.0.1", "/etc/rollout/shop.env")
    record.write(paths, "blue", record.Record(definition, None))
    return paths


@pytest.mark.parametrize("runtime", ["systemd", "docker"])
def test_a_connection_that_lasts_counts(
    tmp_path: Path, listening: socket.socket, runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = engine.Answer(200, {"State": {"Pid": os.getpid()}})
    monkeypatch.setattr(busy.engine, "ask", lambda *_told, **_more: known)
    place = listening.getsockname()
    paths = slot(tmp_path, runtime, place[1])
    assert busy.lasting(paths, "blue") == 0
    with socket.create_connection(place), socket.create_connection(place):
        assert busy.lasting(paths, "blue") == 2
        assert busy.lasting(paths, "green") == 0


def test_a_look_of_a_load_balancer_does_not_count(tmp_path: Path, listening: socket.socket) -> None:
    place = listening.getsockname()
    connection = socket.create_connection(place)
    threading.Timer(0.1, connection.close).start()
    assert busy.lasting(slot(tmp_path, "systemd", place[1]), "blue") == 0


@pytest.mark.parametrize("content", [None, {}, {"State": {"Pid": 0}}, "gone"])
def test_what_the_engine_does_not_tell_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: t.Any
) -> None:
    def ask(*_told: t.Any, **_more: t.Any) -> engine.Answer:
        if content is None:
            raise CommandFailed("The Docker engine does not answer.")
        return engine.Answer(200, content)

    monkeypatch.setattr(busy.engine, "ask", ask)
    assert busy.lasting(slot(tmp_path, "docker", 8000), "blue") == 0
