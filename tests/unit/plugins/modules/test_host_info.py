# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module host_info, run as a program the way Ansible runs it."""

from __future__ import annotations

import os
import socket
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vitalops.rollout.plugins.filter.application_runs import application_runs
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.clock import Clock
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import StateUnreadable
from ansible_collections.vitalops.rollout.plugins.module_utils._guard import change, retire
from ansible_collections.vitalops.rollout.plugins.module_utils._state import lease, state
from ansible_collections.vitalops.rollout.plugins.module_utils._state.run import Run
from ansible_collections.vitalops.rollout.plugins.module_utils._traffic import pointer
from ansible_collections.vitalops.rollout.plugins.modules import host_info
from ansible_collections.vitalops.rollout.tests.unit.plugins.modules import as_ansible


def run(check: bool = False, **arguments: t.Any) -> dict[str, t.Any]:
    told, _written = as_ansible.run("host_info", {**arguments, "_ansible_check_mode": check})
    return told


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


def test_files_of_authorities_are_told_by_their_paths(tmp_path: Path) -> None:
    assert run(ports=[1])["authorities"] == {}
    told = run(ports=[1], authorities=["/nowhere/ca.pem", str(tmp_path)])
    assert told["authorities"] == {"/nowhere/ca.pem": "nothing", str(tmp_path): "something else than a file"}


def test_load_balancers_that_tell_nothing_are_told_with_the_reason() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        nobody = f"127.0.0.1:{gone.getsockname()[1]}"
    told = run(ports=[1], load_balancers={"lb1": nobody})
    assert "refused" in told["load_balancers"]["lb1"]
    assert run(ports=[1])["load_balancers"] == {}


def test_a_port_that_is_no_number_is_refused() -> None:
    told = run(ports=["http"])
    assert told["failed"] is True
    assert "ports" in told["msg"]


R1 = {"id": "1.0.0-aaa", "version": "1.0.0", "digest": "sha256:1", "artefact": "registry/shop"}
CLOCK = Clock(utc=lambda: "2026-11-21T17:20:03Z", boottime=lambda: 100.0, boot_id=lambda: "kernel:1000")


def run_of(epoch: int) -> Run:
    return Run("run-kim", epoch, "deploy", "kim", "AWX job 42", "1.0.0-aaa", "blue", "green")


def test_a_host_that_was_in_no_rollout_has_nothing_of_one(tmp_path: Path) -> None:
    told = host_info.left_by_runs("shop", str(tmp_path))
    assert told == {
        "epoch": 0,
        "at_work": None,
        "live": None,
        "slots": dict.fromkeys(("blue", "green")),
        "replaced": dict.fromkeys(("blue", "green")),
        "retires": None,
    }


def test_a_load_balancer_tells_what_users_get_only_where_it_is_what_was_confirmed(tmp_path: Path) -> None:
    root = str(tmp_path / "var/lib/rollout")
    at = "2026-11-21T17:00:00Z"
    confirmed, _entry = state.confirmed(
        state.State("shop", "staging"), operation="deploy", slot="blue", release=R1, by="kim", at=at, epoch=7
    )
    state.save(confirmed, root)
    live = {"slot": "blue", "release": "1.0.0-aaa", "epoch": 7, "confirmed_at": at}
    for slot, expected in (("blue", live), ("green", None)):
        pointer.write_file("shop", pointer.path_of("shop", root), pointer.Pointer(slot, None, 0))
        assert host_info.left_by_runs("shop", str(tmp_path))["live"] == expected


@pytest.mark.parametrize(("newest", "expected"), [(4, "green"), (5, None)])
def test_a_planned_stop_counts_until_a_newer_run_was_here(tmp_path: Path, newest: int, expected: str | None) -> None:
    folder = str(tmp_path / "var/lib/rollout/shop")
    lease.fence(folder, run_of(4), CLOCK)
    retire.schedule(folder, run_of(4), "green", 60, CLOCK)
    lease.fence(folder, run_of(newest), CLOCK)
    assert host_info.left_by_runs("shop", str(tmp_path))["retires"] == expected


def test_who_changes_the_slots_at_this_moment_is_told_and_keeps_its_lease(tmp_path: Path) -> None:
    folder = str(tmp_path / "var/lib/rollout/shop")
    with change.change(folder, run_of(4), "stage", CLOCK):
        told = host_info.left_by_runs("shop", str(tmp_path))
    at_work = {"run": "run-kim", "step": "stage", "at": "2026-11-21T17:20:03Z"}
    assert (told["at_work"], told["epoch"]) == (at_work, 4)
    known = application_runs({"app1": {"__rollout_host": {"rollout": told}}}, ["app1"])
    assert known == {"floor": 4, "at_work": {"run-kim": "at work on app1 (stage since 2026-11-21T17:20:03Z)"}}
    stored, _how = lease.taken(None, run_of(4), 60, CLOCK, where="shop/lease.json")
    later, lee = CLOCK._replace(boottime=lambda: 1000.0), run_of(0)._replace(id="run-lee")
    with pytest.raises(lease.LeaseHeld, match="at work on app1"):
        lease.taken(stored, lee, 60, later, where="shop/lease.json", **known)
    told = host_info.left_by_runs("shop", str(tmp_path))
    known = application_runs({"app1": {"__rollout_host": {"rollout": told}}}, ["app1"])
    assert lease.taken(stored, lee, 60, later, where="shop/lease.json", **known)[1] == "stale"


@pytest.mark.parametrize("file", ["state.json", "fence.json", "retire.json", "slots/green.json"])
def test_what_nobody_can_read_does_not_count_as_nothing(tmp_path: Path, file: str) -> None:
    path = tmp_path / "var/lib/rollout/shop" / file
    path.parent.mkdir(parents=True)
    path.write_text("{garbage")
    with pytest.raises(StateUnreadable, match="A state file is damaged"):
        host_info.left_by_runs("shop", str(tmp_path))
