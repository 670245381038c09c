# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clocks: deadlines count in boot time, the wall clock is for people, and a boot has a name of its own."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation import clock as clocks
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.clock import Clock


def fake_proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first_process: str) -> None:
    (tmp_path / "boot_id").write_text("63ec0896-827a-4fe9-864c-5c0391dfbf0a\n")
    (tmp_path / "stat").write_text(first_process)
    monkeypatch.setattr(clocks, "BOOT_ID_FILE", str(tmp_path / "boot_id"))
    monkeypatch.setattr(clocks, "FIRST_PROCESS_FILE", str(tmp_path / "stat"))


def test_times_for_people_are_utc_to_the_second() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", clocks.utc())


def test_boot_time_goes_on_and_knows_nothing_of_the_wall_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    before = clocks.boottime()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert 0 < before <= clocks.boottime() < before + 60


def test_this_boot_has_one_name() -> None:
    assert clocks.boot_id() == clocks.boot_id()
    assert re.fullmatch(r"[0-9a-f-]{36}:\d+", clocks.boot_id())


@pytest.mark.parametrize("name", ["systemd", "my (odd) init", "a) S 0 0", "", "sy\udcffstemd"])
def test_the_start_of_the_first_process_is_found_behind_any_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    fake_proc(tmp_path, monkeypatch, "")
    fields = " ".join(str(number) for number in range(4, 53))
    (tmp_path / "stat").write_bytes(f"1 ({name}) S {fields}\n".encode("utf-8", "surrogateescape"))
    assert clocks.boot_id() == "63ec0896-827a-4fe9-864c-5c0391dfbf0a:22"


def test_a_restarted_container_host_is_another_boot_of_the_same_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = "1 (systemd) S 0 1 1 0 -1 4194560 1 1 1 1 1 1 1 1 20 0 1 0 {} 1 1 1"
    fake_proc(tmp_path, monkeypatch, line.format(4711))
    before = clocks.boot_id()
    fake_proc(tmp_path, monkeypatch, line.format(9000))
    assert (before.split(":")[1], clocks.boot_id().split(":")[1]) == ("4711", "9000")
    assert before.partition(":")[0] == clocks.boot_id().partition(":")[0]


@pytest.mark.parametrize(("name", "started"), [("kernel:4700", 47.0), ("kernel:0", 0.0), ("kernel", 0.0), ("k:x", 0.0)])
def test_a_boot_tells_when_it_began(monkeypatch: pytest.MonkeyPatch, name: str, started: float) -> None:
    monkeypatch.setattr("os.sysconf", {"SC_CLK_TCK": 100}.__getitem__)
    assert Clock(boot_id=lambda: name).started() == started


def test_this_boot_began_before_now() -> None:
    clock = Clock()
    assert 0 <= clock.started() <= clock.boottime()


def test_a_test_may_bring_its_own_clock() -> None:
    clock = Clock(utc=lambda: "then", boottime=lambda: 5.0, boot_id=lambda: "boot")
    assert (clock.utc(), clock.boottime(), clock.boot_id()) == ("then", 5.0, "boot")
    assert Clock() == (clocks.utc, clocks.boottime, clocks.boot_id)
