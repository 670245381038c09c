# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Listeners: samples of what the kernel and the container engine tell, and one real look at this machine."""

from __future__ import annotations

import os
import socket
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._hosts.listeners import (
    Listener,
    Published,
    Socket,
    ask_engine,
    collect,
    join,
    parse_cgroup,
    parse_containers,
    parse_sockets,
)

ONE = "a" * 64
TWO = "b" * 64
HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
TABLE = HEADER + (
    "   0: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1001 1 ff 100\n"
    "   1: 0100007F:18EB 00000000:0000 0A 00000000:00000000 00:00000000 00000000   106        0 1002 1 ff 100\n"
    "   2: 0B00000A:4650 0500000A:C350 01 00000000:00000000 00:00000000 00000000     0        0 1003 1 ff 100\n"
    "\n"
)
TABLE_6 = HEADER + (
    "   0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 2001 1 ff\n"
    "   1: 00000000000000000000000001000000:1538 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 2002 1 ff\n"
    "   2: 0000000000000000FFFF00000100007F:0016 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 2003 1 ff\n"
)


def test_listening_sockets_are_read_and_connections_are_not() -> None:
    assert parse_sockets(TABLE, "little") == [Socket("0.0.0.0", 80, "1001"), Socket("127.0.0.1", 6379, "1002")]
    assert parse_sockets(TABLE_6, "little") == [
        Socket("::", 80, "2001"),
        Socket("::1", 5432, "2002"),
        Socket("::ffff:127.0.0.1", 22, "2003"),
    ]


def test_a_big_endian_kernel_writes_addresses_the_other_way_round() -> None:
    table = TABLE.replace("0100007F", "7F000001")
    assert parse_sockets(table, "big")[1].address == "127.0.0.1"


def test_an_empty_table_has_no_sockets() -> None:
    assert parse_sockets("") == parse_sockets(HEADER) == []


@pytest.mark.parametrize(
    ("text", "unit", "container"),
    [
        ("0::/system.slice/haproxy.service\n", "haproxy.service", None),
        ("0::/system.slice/system-postgresql.slice/postgresql@17-main.service\n", "postgresql@17-main.service", None),
        ("0::/user.slice/user-0.slice/session-3.scope\n", "session-3.scope", None),
        (f"0::/system.slice/docker-{ONE}.scope\n", None, ONE),
        (f"12:pids:/docker/{ONE}\n1:name=systemd:/docker/{ONE}\n0::/\n", None, ONE),
        (f"1:name=systemd:/docker/{ONE}/system.slice/nginx.service\n0::/\n", "nginx.service", None),
        (f"0::/docker/{ONE}/docker/{TWO}\n", None, TWO),
        (f"0::/docker/{ONE}/system.slice/docker-{TWO}.scope\n", None, TWO),
        ("0::/system.slice/shop.service/worker-3\n", "shop.service", None),
        ("0::/\n", None, None),
        ("", None, None),
    ],
)
def test_a_process_runs_in_a_unit_or_a_container(text: str, unit: str | None, container: str | None) -> None:
    assert parse_cgroup(text) == (unit, container)


def test_the_engine_tells_names_and_published_tcp_ports() -> None:
    listing = [
        {
            "Id": ONE,
            "Names": ["/shop-blue-web-1"],
            "Ports": [
                {"IP": "0.0.0.0", "PrivatePort": 8000, "PublicPort": 18000, "Type": "tcp"},
                {"PrivatePort": 9000, "Type": "tcp"},
                {"IP": "0.0.0.0", "PrivatePort": 53, "PublicPort": 53, "Type": "udp"},
            ],
        },
        {"Id": TWO, "Names": None, "Ports": None},
    ]
    names, published = parse_containers(listing)
    assert names == {ONE: "shop-blue-web-1", TWO: TWO[:12]}
    assert published == [Published("0.0.0.0", 18000, "shop-blue-web-1")]


def test_everything_seen_is_put_together_by_port() -> None:
    sockets = [
        Socket("0.0.0.0", 18000, "1"),
        Socket("0.0.0.0", 80, "2"),
        Socket("0.0.0.0", 9100, "3"),
        Socket("127.0.0.1", 7000, "4"),
        Socket("0.0.0.0", 9200, "5"),
    ]
    owners = {
        "1": (41, "docker-proxy", "0::/system.slice/docker.service\n"),
        "2": (42, "haproxy", "0::/system.slice/haproxy.service\n"),
        "3": (43, "exporter", f"0::/system.slice/docker-{TWO}.scope\n"),
        "5": (45, "java", f"0::/system.slice/docker-{ONE}.scope\n"),
    }
    published = [Published("0.0.0.0", 18000, "shop-blue-web-1"), Published("0.0.0.0", 18100, "shop-green-web-1")]
    assert join(sockets, owners, {TWO: "metrics"}, published) == [
        Listener(80, "0.0.0.0", "haproxy", 42, "haproxy.service", None),
        Listener(7000, "127.0.0.1"),
        Listener(9100, "0.0.0.0", "exporter", 43, None, "metrics"),
        Listener(9200, "0.0.0.0", "java", 45, None, ONE[:12]),
        Listener(18000, "0.0.0.0", "docker-proxy", 41, "docker.service", "shop-blue-web-1"),
        Listener(18100, "0.0.0.0", None, None, None, "shop-green-web-1"),
    ]


def test_a_port_of_this_process_is_found_on_this_machine() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.create_server(("127.0.0.1", 0)) as other:
        port, other_port = listening.getsockname()[1], other.getsockname()[1]
        found = collect([port]).listeners
        everything = {listener.port for listener in collect([]).listeners}
    assert [(one.port, one.address, one.pid) for one in found] == [(port, "127.0.0.1", os.getpid())]
    assert found[0].process == Path("/proc/self/comm").read_text().strip()
    assert {port, other_port} <= everything


@pytest.mark.parametrize(
    ("said", "told"),
    [(b'[{"Id": "abc"}]', [{"Id": "abc"}]), (b"[]", []), (b'{"message": "no"}', None), (b"nonsense", None)],
)
def test_an_engine_tells_its_containers_or_nothing(
    scripted_engine: t.Any, said: bytes, told: list[t.Any] | None
) -> None:
    assert ask_engine(scripted_engine.says(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + said)) == told


def test_a_silent_engine_is_not_taken_for_one_without_containers(tmp_path: Path, scripted_engine: t.Any) -> None:
    assert collect([1], str(tmp_path / "missing")).engine == "absent"
    assert collect([1], scripted_engine.says(b"")).engine == "silent"
    assert collect([1], scripted_engine.says(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[]")).engine == "answered"
