# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module host_info, run as a program the way Ansible runs it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import typing as t

MODULE = "ansible_collections.vitalops.rollout.plugins.modules.host_info"


def run(check: bool = False, **arguments: t.Any) -> dict[str, t.Any]:
    ended = subprocess.run(
        [sys.executable, "-m", MODULE],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": {**arguments, "_ansible_check_mode": check}}),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.stdout, ended.stderr
    return t.cast("dict[str, t.Any]", json.loads(ended.stdout))


def test_one_call_tells_the_host_and_the_listener_of_a_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        told = run(ports=[port])
    assert told["changed"] is False
    assert [(one["port"], one["pid"]) for one in told["listeners"]] == [(port, os.getpid())]
    assert set(told) >= {"init", "python", "distribution", "free_bytes", "memory_bytes", "boot_id", "uptime", "clock"}


def test_without_ports_every_listener_is_told_with_its_owner() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        told = run()
    assert {(one["port"], one["pid"]) for one in told["listeners"]} >= {(port, os.getpid())}
    assert told["container_engine"] in ("answered", "absent", "silent")


def test_check_mode_looks_just_the_same() -> None:
    assert run(check=True, ports=[1])["listeners"] == []


def test_a_port_that_is_no_number_is_refused() -> None:
    told = run(ports=["http"])
    assert told["failed"] is True
    assert "ports" in told["msg"]
