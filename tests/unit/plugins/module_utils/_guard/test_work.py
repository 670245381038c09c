# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of an application host. Its slots are empty here: what processes do is tested in _slots and by Molecule."""

from __future__ import annotations

import json
import socket
import threading
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.clock import Clock
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import (
    BadInput,
    NotFound,
    StateUnreadable,
)
from ansible_collections.vitalops.rollout.plugins.module_utils._guard import change, retire, work
from ansible_collections.vitalops.rollout.plugins.module_utils._slots import record
from ansible_collections.vitalops.rollout.plugins.module_utils._slots.definition import Definition, Process, Release
from ansible_collections.vitalops.rollout.plugins.module_utils._slots.slot import Outcome
from ansible_collections.vitalops.rollout.plugins.module_utils._state import journal, lease, state
from ansible_collections.vitalops.rollout.plugins.module_utils._state.lease import LeaseLost

from .conftest import R1, R2, Host


@pytest.fixture
def app(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """An application host with nothing in its slots."""
    monkeypatch.setattr(work, "Paths", lambda application: record.Paths(application, str(tmp_path)))
    monkeypatch.setattr(retire, "Paths", lambda application: record.Paths(application, str(tmp_path)))
    monkeypatch.setattr(state, "ROOT", str(host.root))
    monkeypatch.setattr(state, "folder_of", lambda application, root=None: str(host.root / application))
    return host


def test_stopping_what_does_not_run_changes_nothing_and_is_in_the_journal(app: Host) -> None:
    told = app.ask("stop", slots=["blue", "green"], kinds=["worker", "scheduler"])
    assert (told["changed"], told["killed"], told["instances"]) == (False, [], [])
    assert app.journal() == [("stop", "begin", None), ("stop", "end", "done")]


def test_a_host_that_never_held_the_release_serves_nobody_and_says_so(app: Host) -> None:
    told = app.ask("wake", slot="green", kinds=["web"], release_id=R2["id"])
    assert (told["held"], told["instances"], told["runs_scheduler"]) == (False, [], False)
    assert told["slots"] == {"blue": None, "green": None}
    assert f"does not hold release {R2['id']} in slot green" in told["warnings"][0]
    assert app.journal() == [("wake", "begin", None), ("wake", "end", "done")]


class FakeSlot:
    """Blue holds R1, green something else."""

    asked: t.ClassVar[list[tuple[t.Any, ...]]] = []

    def __init__(self, _paths: record.Paths, name: str, *, check: bool) -> None:
        self.name = name

    def holds(self, release_id: str) -> bool:
        return (self.name, release_id) == ("blue", R1["id"])

    def empty(self) -> Outcome:
        self.asked.append((self.name, "empty"))
        return Outcome()

    def switch_processes(
        self, _names: list[str], *, kinds: list[str], on: bool, release_id: str | None = None
    ) -> Outcome:
        self.asked.append((self.name, *kinds, on, release_id))
        return Outcome(instances=[{"name": f"shop-{self.name}-web-1"}])


@pytest.fixture
def asked(app: Host, monkeypatch: pytest.MonkeyPatch) -> list[tuple[t.Any, ...]]:
    monkeypatch.setattr(work, "Slot", FakeSlot)
    monkeypatch.setattr(FakeSlot, "asked", [])
    return FakeSlot.asked


def test_what_such_a_host_has_in_that_slot_goes(app: Host, asked: list[tuple[t.Any, ...]]) -> None:
    assert app.ask("wake", slot="green", kinds=["web"], release_id=R2["id"])["instances"] == []
    told = app.ask("wake", slot="blue", kinds=["web"], release_id=R1["id"])
    assert (told["held"], told["instances"], "warnings" in told) == (True, [{"name": "shop-blue-web-1"}], False)
    assert asked == [("green", "empty"), ("blue", "web", True, R1["id"])]


class Uploads:
    """Two connections that end after some looks of a second each."""

    def __init__(self, app: Host, looks: int) -> None:
        self.app, self.left, self.looked = app, looks, 0

    def lasting(self, _paths: record.Paths, slot: str) -> int:
        assert slot == "green"
        self.looked += 1
        self.app.now += 1
        self.left -= 1
        return 2 if self.left >= 0 else 0


@pytest.mark.parametrize(
    ("wanted", "looks", "seconds", "looked", "cut"),
    [
        ("0.9.0-zzz", 0, 20, 1, False),
        ("0.9.0-zzz", 5, 20, 6, False),
        ("0.9.0-zzz", 99, 20, 20, True),
        ("0.9.0-zzz", 99, 0, 0, False),
        (R2["id"], 99, 20, 0, False),
    ],
    ids=[
        "nothing lasts",
        "it ends",
        "it outlasts the deadline",
        "no drain is allowed by name",
        "it is the release wanted",
    ],
)
def test_a_release_that_is_replaced_may_end_what_it_had_begun(
    app: Host,
    asked: list[tuple[t.Any, ...]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    wanted: str,
    looks: int,
    seconds: float,
    looked: int,
    cut: bool,
) -> None:
    release = Release(R2["id"], "1.1.0", "sha256:2", "registry/shop")
    running = Definition("shop", "green", "systemd", release, (Process("web", "web"),), 18100, "127.0.0.1", "/shop.env")
    record.write(record.Paths("shop", str(tmp_path)), "green", record.Record(running, None))
    seen = Uploads(app, looks)
    monkeypatch.setattr(work.busy, "lasting", seen.lasting)
    monkeypatch.setattr(FakeSlot, "holds", lambda _self, _release: True)
    told = app.ask("wake", slot="green", kinds=["web"], release_id=wanted, drain_seconds=seconds)
    assert (seen.looked, asked) == (looked, [("green", "web", True, wanted)])
    host = socket.gethostname()
    says = f"{host} stopped release {R2['id']} in slot green with 2 connections that had not ended after 20 s"
    assert told.get("warnings", []) == ([says] if cut else [])


def test_no_work_starts_where_the_release_is_not_held(app: Host, asked: list[tuple[t.Any, ...]]) -> None:
    app.ask("workers", slot="green", kinds=["worker"], release_id=R2["id"], if_held=True)
    off = [("blue", "scheduler"), ("blue", "worker"), ("green", "scheduler"), ("green", "worker")]
    assert sorted(asked) == [(slot, kind, False, None) for slot, kind in off]
    asked.clear()
    app.ask("workers", slot="blue", kinds=["worker"], release_id=R1["id"], if_held=True, moves=False)
    assert sorted(asked) == [("blue", "scheduler", False, None), ("blue", "worker", True, R1["id"])]


@pytest.mark.parametrize("moves", [True, False])
def test_workers_do_not_start_in_an_empty_slot(app: Host, moves: bool) -> None:
    assert app.ask("workers", slot="green", kinds=["worker"], moves=moves)["actions"] == []
    with pytest.raises(NotFound, match="an empty slot"):
        app.ask("workers", slot="green", kinds=["worker"], moves=moves, release_id=R2["id"])
    assert app.journal()[2:] == [("workers", "begin", None), ("workers", "end", "failed")]


@pytest.mark.parametrize("step", ["wake", "stop", "workers", "retire"])
def test_check_mode_leaves_no_trace(app: Host, step: str) -> None:
    app.ask(step, dry=True, slot="blue", slots=["blue"], kinds=["worker"], seconds=60, release_id="x")
    assert app.journal() == []
    assert not (app.root / "shop" / lease.FENCE_FILE).exists()


@pytest.mark.parametrize("wrong", [{"slots": ["red"]}, {"kinds": ["cron"]}])
def test_what_nobody_knows_is_refused(app: Host, wrong: dict[str, t.Any]) -> None:
    with pytest.raises(BadInput, match="no such"):
        app.ask("stop", **{"slots": ["blue"], "kinds": ["web"], **wrong})


@pytest.mark.parametrize("step", ["wake", "stop", "workers", "retire"])
def test_a_run_that_is_older_than_the_newest_one_here_is_refused(app: Host, step: str) -> None:
    app.ask("stop", app.run("run-lee", epoch=5), slots=["blue"], kinds=["worker"])
    with pytest.raises(LeaseLost):
        app.ask(step, app.run(epoch=4), slot="blue", slots=["blue"], kinds=["worker"], seconds=60, release_id="x")


def test_a_slot_is_kept_warm_until_its_time_is_over_and_stops_once(app: Host) -> None:
    app.ask("retire", slot="blue", seconds=60)
    assert retire.retire_due("shop", app.clock) == ""
    assert [(one.step, one.phase, one.detail) for one in journal.read(app.folder)] == [
        ("retire", phase, "slot blue is planned for 60 s from now") for phase in ("begin", "end")
    ]
    app.now += 61
    assert "slot blue was kept warm for 60 s and is retired" in retire.retire_due("shop", app.clock)
    assert app.journal() == [("retire", "begin", None), ("retire", "end", "done")] * 2
    assert retire.retire_due("shop", app.clock) == ""


def test_a_slot_with_connections_is_waited_for_and_no_longer_than_was_said(
    app: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    used, slots = [3], list[str]()

    def lasting(_paths: record.Paths, slot: str) -> int:
        slots.append(slot)
        return used[0]

    monkeypatch.setattr(retire.busy, "lasting", lasting)
    app.ask("retire", slot="blue", seconds=60, drain_seconds=20)
    app.now += 61
    says = "shop: slot blue is not retired yet: it has 3 connections, and is waited for another 79 s at most"
    assert retire.retire_due("shop", app.clock) == says
    assert (retire.read(app.folder) is not None, len(app.journal())) == (True, 2)
    used[0] = 0
    assert "is retired" in retire.retire_due("shop", app.clock)
    used[0] = 3
    app.ask("retire", slot="blue", seconds=60, drain_seconds=20)
    app.now += 60 + 80
    assert "is retired" in retire.retire_due("shop", app.clock)
    assert slots == ["blue", "blue"]


def test_a_newer_run_voids_what_was_planned(app: Host) -> None:
    app.ask("retire", slot="blue", seconds=60)
    app.ask("stop", app.run("run-lee", epoch=2), slots=["green"], kinds=["worker"])
    app.now += 61
    assert "a newer run was here" in retire.retire_due("shop", app.clock)
    assert retire.read(app.folder) is None


def test_a_plan_that_came_while_the_timer_was_about_to_act_stands(app: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    app.ask("retire", slot="blue", seconds=60)
    app.now += 61
    newer, alone = app.run("run-lee", epoch=2), change.alone

    def a_moment_later(folder: str, seconds: float) -> t.ContextManager[None]:
        monkeypatch.setattr(change, "alone", alone)
        app.ask("retire", newer, slot="green", seconds=60)
        return alone(folder, seconds)

    monkeypatch.setattr(change, "alone", a_moment_later)
    assert retire.retire_due("shop", app.clock) == ""
    plan = retire.read(app.folder)
    assert plan is not None
    assert (plan.run.id, plan.slot) == ("run-lee", "green")


@pytest.mark.parametrize(("slot", "retired"), [("blue", True), ("green", False)])
def test_a_newer_run_that_only_withheld_a_release_lets_the_plan_stand(app: Host, slot: str, retired: bool) -> None:
    app.ask("retire", slot="blue", seconds=60)
    newer = app.run("run-lee", epoch=2)
    with change.change(app.folder, newer, "withhold", app.clock):
        retire.carry_over(app.folder, newer, slot)
    app.now += 61
    assert ("is retired" in retire.retire_due("shop", app.clock)) is retired


def test_after_a_boot_the_whole_time_counts_again(app: Host) -> None:
    app.ask("retire", slot="blue", seconds=60)
    plan = retire.read(app.folder)
    assert plan is not None
    booted = Clock(boottime=lambda: 10.0, boot_id=lambda: "kernel:500")
    assert retire.left(plan, booted) == pytest.approx(55.0)


def test_to_retire_now_needs_no_timer(app: Host) -> None:
    assert app.ask("retire", slot="blue", seconds=0)["changed"] is False
    assert app.journal() == [("retire", "begin", None), ("retire", "end", "done")]
    assert retire.read(app.folder) is None


def test_who_changes_the_host_now_is_told_and_only_while_it_does(app: Host) -> None:
    assert change.at_work(app.folder) is None
    inside, leave = threading.Event(), threading.Event()

    def stage() -> None:
        with change.change(app.folder, app.run(), "stage", app.clock):
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=stage)
    thread.start()
    assert inside.wait(10)
    entry = change.at_work(app.folder)
    assert entry is not None
    assert (entry.run, entry.step, entry.phase) == ("run-kim", "stage", "begin")
    assert retire.retire_due("shop", app.clock) == ""
    leave.set()
    thread.join()
    assert change.at_work(app.folder) is None


def test_a_step_that_died_is_not_at_work(app: Host) -> None:
    journal.append(app.folder, app.run(), "stage", "begin", clock=app.clock)
    (app.root / "shop" / change.LOCK_FILE).touch()
    assert change.at_work(app.folder) is None
    assert json.loads((app.root / "shop" / journal.FILE).read_text().splitlines()[-1])["phase"] == "begin"


FENCES: list[str] = ["", "{", "[]", '{"schema": 1}', '{"schema": 1, "epoch": "x", "id": "run", "at": "now"}', "\x00"]
PLANS: list[str] = ["{", "[]", '{"schema": 1}', '{"schema": 1, "run": {}, "slot": "red"}', '{"schema": 2}']


@pytest.mark.parametrize("damage", FENCES)
@pytest.mark.parametrize("step", ["wake", "stop", "workers", "retire"])
def test_who_was_here_last_must_be_readable_before_anything_changes(
    app: Host, asked: list[tuple[t.Any, ...]], step: str, damage: str
) -> None:
    told = {"slot": "blue", "slots": ["blue"], "kinds": ["worker"], "seconds": 60, "release_id": R1["id"]}
    fence = app.root / "shop" / lease.FENCE_FILE
    fence.write_text(damage)
    with pytest.raises(StateUnreadable) as refused:
        app.ask(step, **told)
    assert refused.value.next_step == f"look at it, then move it away: mv {fence} {fence}.damaged"
    assert (asked, app.journal(), fence.read_text()) == ([], [], damage)
    fence.rename(f"{fence}.damaged")
    app.ask(step, **told)
    assert lease.newest(app.folder) == 1


@pytest.mark.parametrize("damage", PLANS)
def test_nothing_stops_by_a_plan_that_nobody_can_read(app: Host, damage: str) -> None:
    plan = app.root / "shop" / retire.FILE
    plan.write_text(damage)
    with pytest.raises(StateUnreadable) as refused:
        retire.retire_due("shop", app.clock)
    assert (refused.value.where, app.journal(), plan.read_text()) == (str(plan), [], damage)
    with pytest.raises(StateUnreadable), change.change(app.folder, app.run(), "withhold", app.clock):
        retire.carry_over(app.folder, app.run(), "blue")
    app.ask("retire", slot="blue", seconds=60)  # the next run that keeps a slot warm writes it anew
    app.now += 61
    assert "slot blue was kept warm for 60 s" in retire.retire_due("shop", app.clock)
