# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An application host follows users who were taken back. What processes do is tested in _slots and by Molecule."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import CommandFailed
from ansible_collections.vitalops.rollout.plugins.module_utils._guard import (
    change,
    follow,
    probation,
    retire,
    words,
    work,
)
from ansible_collections.vitalops.rollout.plugins.module_utils._slots import record
from ansible_collections.vitalops.rollout.plugins.module_utils._slots.slot import Outcome
from ansible_collections.vitalops.rollout.plugins.module_utils._state import journal, state
from ansible_collections.vitalops.rollout.plugins.module_utils._traffic.pointer import Pointer

from .conftest import R1, R2, Host
from .test_probation import BLUE, GREEN, TOLD

Asked = list[tuple[t.Any, ...]]


class Fleet:
    """What load balancers tell, and what was asked of the slots of this host. *broken*: no process can be changed."""

    def __init__(self, app: Host) -> None:
        self.app = app
        self.told: probation.Told = {"lb1": GREEN}
        self.asked: Asked = []
        self.places: list[t.Mapping[str, str]] = []
        self.broken = False
        self.connections = 0

    def ask(self, places: t.Mapping[str, str]) -> probation.Told:
        self.places.append(places)
        return self.told

    def slot(self, _paths: record.Paths, name: str) -> t.Any:
        return FakeSlot(self, name)

    def turn(self) -> str:
        """The timer of the host looks."""
        return follow.follow_due("shop", self.app.clock, self.slot, self.ask)

    @property
    def planned(self) -> probation.Probation | None:
        return probation.read(self.app.folder)


class FakeSlot:
    """Blue holds R1, green R2."""

    def __init__(self, fleet: Fleet, name: str) -> None:
        self.fleet, self.name = fleet, name

    def holds(self, release_id: str) -> bool:
        return (self.name, release_id) in (("blue", R1["id"]), ("green", R2["id"]))

    def switch_processes(
        self, _names: list[str], *, kinds: list[str], on: bool, release_id: str | None = None
    ) -> Outcome:
        if self.fleet.broken:
            raise CommandFailed("The container engine does not answer.")
        self.fleet.asked.append((self.name, *kinds, on))
        return Outcome()

    def withhold(self, refused: str, *, kept: str | None = None) -> Outcome:
        self.fleet.asked.append((self.name, "withhold", refused, kept))
        return Outcome()


@pytest.fixture
def app(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """An application host with nothing in its slots."""
    for module in (work, retire, follow):
        monkeypatch.setattr(module, "Paths", lambda application: record.Paths(application, str(tmp_path)))
    monkeypatch.setattr(state, "ROOT", str(host.root))
    monkeypatch.setattr(state, "folder_of", lambda application, root=None: str(host.root / application))
    return host


@pytest.fixture
def fleet(app: Host, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    """Work has moved to green, with its users."""
    made = Fleet(app)
    monkeypatch.setattr(follow.busy, "lasting", lambda _paths, _slot: made.connections)
    move(made)
    return made


def move(fleet: Fleet, epoch: int = 1, **change: t.Any) -> None:
    run = fleet.app.run("run-kim" if epoch == 1 else "run-lee", epoch=epoch)
    fleet.app.ask("workers", run, slot="green", kinds=["worker"], probation={**TOLD, **change})


BACK = [
    ("blue", "scheduler", True),
    ("blue", "worker", True),
    ("green", "scheduler", False),
    ("green", "worker", False),
]
WITHHELD = ("green", "withhold", R2["id"], None)


def test_a_host_that_was_told_nothing_asks_nobody(app: Host) -> None:
    fleet = Fleet(app)
    assert (fleet.turn(), fleet.places, app.journal()) == ("", [], [])


def test_users_who_were_taken_back_are_followed_once(fleet: Fleet) -> None:
    assert (fleet.turn(), fleet.asked) == ("", [])
    assert fleet.places == [{"lb1": "192.0.2.10:80"}]
    fleet.told = {"lb1": BLUE}
    assert fleet.turn() == (
        "shop: users are back on 1.0.0-aaa, and work follows; "
        "1.1.0-bbb is stopped, and kept for a look at it in slot green"
    )
    assert (sorted(fleet.asked[:4]), fleet.asked[4:]) == (BACK, [WITHHELD])
    assert fleet.app.journal()[2:] == [
        ("workers", "begin", None),
        ("workers", "end", "done"),
        ("withhold", "begin", None),
        ("withhold", "end", "done"),
    ]
    assert (fleet.turn(), fleet.planned, len(fleet.places)) == ("", None, 2)
    told = {(one.run, one.actor, one.source) for one in journal.read(fleet.app.folder)[2:]}
    assert told == {("run-kim", "guard", "the timer of this host")}


def test_the_scheduler_stops_before_the_other_one_starts(fleet: Fleet) -> None:
    fleet.told = {"lb1": BLUE}
    fleet.turn()
    schedulers = [one for one in fleet.asked if one[1] == "scheduler"]
    assert schedulers == [("green", "scheduler", False), ("blue", "scheduler", True)]


@pytest.mark.parametrize("told", [{"lb1": BLUE, "lb2": GREEN}, {"lb1": BLUE, "lb2": "status 503"}, {"lb1": "gone"}, {}])
def test_work_stays_until_every_load_balancer_says_that_users_are_back(fleet: Fleet, told: probation.Told) -> None:
    fleet.told = told
    assert (fleet.turn(), fleet.asked) == ("", [])
    fleet.app.now += 301
    says = fleet.turn()
    assert says.startswith("shop: it is not known that all users are in one slot (")
    assert "); work stays in slot green. Look: ansible-playbook vitalops.rollout.status" in says
    assert all(f"{name}: {one if isinstance(one, str) else one.text()}" in says for name, one in told.items())
    assert (fleet.asked, fleet.planned is not None) == ([], True)
    fleet.told = {"lb1": BLUE, "lb2": BLUE}
    assert "is stopped" in fleet.turn()


def test_users_who_stayed_are_asked_for_no_more_once_load_balancers_have_decided(fleet: Fleet) -> None:
    fleet.app.now += 299
    assert (fleet.turn(), fleet.planned is not None) == ("", True)
    fleet.app.now += 2
    assert fleet.turn() == "shop: users have stayed on 1.1.0-bbb"
    assert (fleet.turn(), fleet.asked, fleet.planned) == ("", [], None)


def test_where_users_are_is_no_confirmation_so_nothing_of_the_other_slot_stops(fleet: Fleet) -> None:
    """A load balancer that was down may take them back after all, and then there is nothing else to go to."""
    fleet.app.now += 301
    fleet.turn()
    fleet.told = {"lb1": BLUE}
    fleet.app.now += 1_000_000
    assert (fleet.turn(), fleet.asked, retire.read(fleet.app.folder)) == ("", [], None)


def test_after_a_boot_the_whole_time_counts_again(fleet: Fleet) -> None:
    fleet.app.now += 301
    fleet.app.boots()
    fleet.app.now = 50.0  # of a boot that began at 20
    assert (fleet.turn(), fleet.planned is not None) == ("", True)


def test_connections_are_waited_for_and_no_longer_than_was_said(fleet: Fleet) -> None:
    fleet.told, fleet.connections = {"lb1": BLUE}, 3
    says = (
        "shop: users are back on 1.0.0-aaa, and work follows; 1.1.0-bbb has 3 connections, and is given another 80 s "
    )
    assert fleet.turn().startswith(says)
    assert sorted(fleet.asked) == BACK
    fleet.app.now += 79
    assert "is given another 1 s at most" in fleet.turn()
    assert sorted(fleet.asked) == BACK  # work has moved already
    fleet.app.now += 1
    assert "is stopped" in fleet.turn()
    assert fleet.asked[4:] == [WITHHELD]


def test_a_load_balancer_that_falls_silent_then_stops_nothing(fleet: Fleet) -> None:
    fleet.told, fleet.connections = {"lb1": BLUE}, 3
    fleet.turn()
    fleet.told = {"lb1": "gone"}
    fleet.app.now += 301
    assert "(lb1: gone); 1.1.0-bbb still runs in slot green, without work. " in fleet.turn()
    assert sorted(fleet.asked) == BACK


def test_no_connection_survives_a_boot(fleet: Fleet) -> None:
    fleet.told, fleet.connections = {"lb1": BLUE}, 3
    fleet.turn()
    fleet.app.boots()
    assert "is stopped" in fleet.turn()


def test_a_newer_run_on_the_host_voids_what_was_planned(fleet: Fleet) -> None:
    fleet.app.ask("stop", fleet.app.run("run-lee", epoch=2), slots=["green"], kinds=["scheduler"])
    fleet.told = {"lb1": BLUE}
    assert (fleet.turn(), fleet.asked, fleet.planned, fleet.places) == ("", [], None, [])


@pytest.mark.parametrize(
    ("slot", "release_id", "followed"),
    [("green", R2["id"], True), ("green", "1.2.0-ccc", False), ("blue", R2["id"], False)],
    ids=["the same release", "another release", "another slot"],
)
def test_a_newer_run_that_goes_on_with_the_release_keeps_what_was_planned(
    fleet: Fleet, slot: str, release_id: str, followed: bool
) -> None:
    """It dies right after its first change on this host, and its users are taken back."""
    newer = fleet.app.run("run-lee", epoch=2)
    with change.change(fleet.app.folder, newer, "stage", fleet.app.clock):
        probation.carry_over(fleet.app.folder, newer, slot, release_id)
    assert (fleet.turn(), fleet.asked, fleet.planned is not None) == ("", [], followed)
    fleet.told = {"lb1": BLUE}
    assert ("and work follows" in fleet.turn(), sorted(fleet.asked[:4])) == (followed, BACK if followed else [])
    told = {one.run for one in journal.read(fleet.app.folder) if one.step == "withhold"}
    assert told == ({"run-lee"} if followed else set())


def test_where_nothing_was_planned_nothing_is_carried_over(app: Host) -> None:
    probation.carry_over(app.folder, app.run(), "green", R2["id"])
    assert probation.read(app.folder) is None


def test_a_newer_run_that_came_while_load_balancers_were_asked_is_left_alone(fleet: Fleet) -> None:
    ask = fleet.ask

    def a_moment_later(places: t.Mapping[str, str]) -> probation.Told:
        move(fleet, epoch=2, previous_slot="blue")
        return ask(places)

    fleet.told = {"lb1": BLUE}
    assert follow.follow_due("shop", fleet.app.clock, fleet.slot, a_moment_later) == ""
    planned = fleet.planned
    assert (fleet.asked, planned and planned.run.id) == ([], "run-lee")


def test_while_a_run_is_at_work_on_the_host_nothing_is_done(fleet: Fleet) -> None:
    fleet.told = {"lb1": BLUE}
    with change.alone(fleet.app.folder):
        assert fleet.turn() == ""
    assert "is stopped" in fleet.turn()


@pytest.mark.parametrize("step", ["workers", "retire now", "retire later"])
def test_a_run_that_came_to_its_end_leaves_nothing_to_follow(fleet: Fleet, step: str) -> None:
    if step == "workers":  # work is taken back by the run itself
        fleet.app.ask("workers", slot="blue", kinds=["worker"], moves=False)
    else:
        fleet.app.ask("retire", slot="blue", seconds=0 if step == "retire now" else 60)
    assert fleet.planned is None


def test_check_mode_plans_nothing_and_voids_nothing(fleet: Fleet) -> None:
    fleet.app.ask("workers", dry=True, slot="green", kinds=["worker"])
    fleet.app.ask("retire", dry=True, slot="blue", seconds=60)
    assert fleet.planned is not None
    probation.forget(fleet.app.folder)
    fleet.app.ask("workers", dry=True, slot="green", kinds=["worker"], probation=TOLD)
    assert fleet.planned is None


def test_what_a_roll_back_left_gets_its_work_back_and_nothing_is_stopped(fleet: Fleet) -> None:
    move(fleet, withholds=False)
    fleet.told = {"lb1": BLUE}
    assert fleet.turn() == "shop: users are back on 1.0.0-aaa, and work follows"
    assert (sorted(fleet.asked), fleet.planned) == (BACK, None)


def test_a_host_that_does_not_hold_the_release_only_stops_the_refused_one(fleet: Fleet) -> None:
    move(fleet, previous_release_id="0.9.0-zzz")
    fleet.told = {"lb1": BLUE}
    assert "is stopped" in fleet.turn()
    assert {one[-1] for one in fleet.asked[:-1]} == {False}


def test_a_release_that_a_roll_back_goes_to_runs_on(fleet: Fleet) -> None:
    move(fleet, kept_release_id=R2["id"])
    fleet.told = {"lb1": BLUE}
    assert fleet.turn().endswith("1.1.0-bbb runs on, as roll_back goes to it, in slot green")
    assert fleet.asked[-1] == ("green", "withhold", R2["id"], R2["id"])


def test_what_fails_is_tried_again_at_the_next_turn(fleet: Fleet) -> None:
    fleet.told, fleet.broken = {"lb1": BLUE}, True
    with pytest.raises(CommandFailed):
        fleet.turn()
    assert fleet.app.journal()[-1] == ("workers", "end", "failed")
    fleet.broken = False
    assert "is stopped" in fleet.turn()


def test_a_slot_file_that_makes_no_sense_keeps_no_other_application_from_its_turn(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def breaks(_name: str, _clock: t.Any) -> str:
        raise AttributeError("'str' object has no attribute 'get'")

    monkeypatch.setattr(follow, "follow_due", breaks)
    fleet.app.ask("retire", slot="blue", seconds=60)
    (fleet.app.root / "shop" / probation.FILE).write_text("{}")
    monkeypatch.setattr(words, "Clock", lambda: fleet.app.clock)
    fleet.app.now += 61
    assert words.main(["retire", "--due"]) == words.AGAIN
    told = capsys.readouterr()
    assert "AttributeError: 'str' object" in told.err
    assert "is retired" in told.out


def test_the_word_of_the_timer_does_both_and_one_failure_does_not_keep_the_other(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(probation, "ask", lambda _places: {"lb1": Pointer("blue", None, 0)})
    monkeypatch.setattr(follow, "Slot", fleet.slot)
    fleet.app.ask("retire", slot="blue", seconds=60)
    (fleet.app.root / "shop" / probation.FILE).write_text("{")
    monkeypatch.setattr(words, "Clock", lambda: fleet.app.clock)
    fleet.app.now += 61
    assert words.main(["retire", "--due"]) == words.NEVER
    told = capsys.readouterr()
    assert "probation.json" in told.err
    assert "is retired" in told.out
