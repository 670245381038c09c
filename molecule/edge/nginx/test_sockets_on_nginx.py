# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""WebSockets behind nginx: a switch, which is a reload, leaves those that are open where they are."""

from __future__ import annotations

import base64
import contextlib
import os
import socket
import typing as t
from pathlib import Path

import pytest


@pytest.fixture
def sockets(fleet: t.Any) -> t.Iterator[t.Any]:
    """Behind the same nginx, a second application that knows WebSockets, and is gone afterwards."""
    playbook = os.path.relpath(Path(__file__).parent / "sockets", "playbooks")
    try:
        assert fleet.play(playbook).code == 0
        yield fleet
    finally:
        for name in fleet.names:
            fleet.on(name, "rm -rf /etc/nginx/rollout.d/sockets.* /var/lib/rollout/sockets; systemctl reload nginx")


def test_a_switch_leaves_upgraded_connections_where_they_are(sockets: t.Any) -> None:
    for name in sockets.names:
        sockets.point(name, "'blue', None, 0", "sockets")
        with contextlib.closing(upgraded(sockets.lab.address(name))) as old:
            assert echo(old, "one") == "blue:one"
            sockets.point(name, "'green', None, 0", "sockets")
            with contextlib.closing(upgraded(sockets.lab.address(name))) as new:
                assert echo(new, "two") == "green:two"
            assert echo(old, "three") == "blue:three"
        # The old worker ends with the last connection that it holds.
        sockets.lab.wait_for(name, "pgrep -f -c 'worker process is shutting down$'", "0", seconds=30)


def upgraded(address: str) -> socket.socket:
    """Returns a connection that was upgraded as a WebSocket is."""
    connected = socket.create_connection((address, 8081), timeout=15)
    key = base64.b64encode(os.urandom(16)).decode()
    connected.sendall(
        f"GET /socket HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    assert b" 101 " in connected.recv(4096)
    return connected


def echo(connected: socket.socket, text: str) -> str:
    """Returns what comes back on an upgraded connection."""
    connected.sendall(text.encode())
    return connected.recv(4096).decode()
