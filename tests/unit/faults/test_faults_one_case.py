# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a case asks of its fleet: which slot is live after a death, who took it back, and when a disk gets room."""

from __future__ import annotations

import subprocess
import typing as t

import pytest
from ansible_collections.vitalops.rollout.tests.faults import injections, one_case, runs, stops
from ansible_collections.vitalops.rollout.tests.faults.cases import Case
from ansible_collections.vitalops.rollout.tests.faults.looks import Look
from ansible_collections.vitalops.rollout.tests.faults.one_case import OneCase

PLAIN = Case("deploy", "switch", "after", "KILL", "lb1")
FULL = PLAIN._replace(fault="disk")


def look(**changed: t.Any) -> Look:
    told: dict[str, t.Any] = {
        "boottime": 100.0,
        "boot": "7",
        "journal": (),
        "file": "blue:none:0",
        "haproxy": "blue:none:0",
        "state": {"live": "blue", "slots": {"blue": {"release": {"id": "1.0.0-aa"}}, "green": None}, "history": []},
        "answers": ((200, "1.0.0-aa"),),
    }
    return Look(**{**told, **changed})


class Fleet:
    """Both load balancers look like *seen*."""

    times = runs.Times()
    lab = None
    rooms = applications = ()

    def __init__(self, seen: Look) -> None:
        self.seen = seen

    def look_at(self, *_arguments: object, **_options: object) -> dict[str, Look]:
        return {"lb1": self.seen, "lb2": self.seen}


class Run:
    """A run that a signal ends (*dies*), or not; one that is *stubborn* needs it twice."""

    def __init__(self, *, dies: bool, stubborn: bool = False) -> None:
        self.dies = dies
        self.stubborn = stubborn

    def signal(self, name: str) -> None:
        assert name == "TERM"
        self.dies = self.dies or self.stubborn

    def runs(self) -> bool:
        return True

    def wait(self, _seconds: float) -> int | None:
        return -15 if self.dies else None

    def text(self) -> str:
        return ""


class Stop:
    """Stands at *line* at once."""

    line: t.ClassVar[dict[str, t.Any]] = {}

    def __init__(self, *_where: object) -> None:
        pass

    def reached(self, *_wait: object) -> bool:
        return True

    def release(self) -> None:
        pass


def case_on(seen: Look, case: Case = PLAIN) -> OneCase:
    return OneCase(t.cast(t.Any, Fleet(seen)), case)


def test_traffic_that_was_not_taken_back_after_the_death_is_a_problem() -> None:
    good, bad = case_on(look()), case_on(look(haproxy="green:none:0", answers=((200, "1.1.0-bb"),)))
    good._unfinished()
    bad._unfinished()
    assert good.problems == []
    assert any("lb2: state.json says blue, traffic goes to green" in problem for problem in bad.problems)


def test_a_run_that_is_taken_up_need_not_have_gone_back() -> None:
    case = case_on(look(haproxy="green:none:0"), PLAIN._replace(scenario="resumed"))
    case._unfinished()
    assert case.problems == []


def lines(*steps: str, run: str = "r1", boottime: float = 1.0) -> tuple[dict[str, t.Any], ...]:
    """What a run writes that does *steps*, one a second from *boottime* on."""
    told: dict[str, t.Any] = {"run": run, "actor": "anna", "source": "command line", "release": "1.0.0-aa"}
    told |= {"boot_id": "kernel:7", "operation": "deploy", "at": "2026-11-21T17:20:03Z"}
    return tuple(
        {**told, "step": step, "phase": phase, "outcome": outcome, "boottime": boottime + place}
        for place, step in enumerate(steps)
        for phase, outcome in (("begin", None), ("end", "done"))
    )


WHOLE = ("begin", "arm", "switch", "confirm")


@pytest.mark.parametrize(("code", "problems"), [(0, 2), (2, 0), (None, 0)])
def test_only_a_run_that_is_live_may_end_with_0(code: int | None, problems: int) -> None:
    confirmed, refused = case_on(look(journal=lines(*WHOLE))), case_on(look(journal=lines(*WHOLE[:3], "revert")))
    for case in (confirmed, refused):
        case._code = code
        case.evidence["stopped_at"] = {"run": "r1"}
        case._unfinished()
    assert confirmed.problems == []
    assert ["has no confirmation of it" in problem for problem in refused.problems] == [True] * problems


def test_with_what_code_the_run_ended_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    case = case_on(look(), PLAIN._replace(fault="cut", scenario="resumed"))
    run = Run(dies=True)
    monkeypatch.setattr(run, "wait", lambda _seconds: 0)
    monkeypatch.setattr(Stop, "line", {"outcome": "done", "run": "r1"})
    monkeypatch.setattr(one_case, "Stop", Stop)
    monkeypatch.setattr(injections, "inject", lambda *_arguments: None)
    monkeypatch.setattr(case.fleet, "start", lambda *_arguments: run, raising=False)
    case._strike("1.1.0")
    case._unfinished()
    assert ["run r1 ended 0" in problem for problem in case.problems] == [True, True]


@pytest.mark.parametrize(
    ("journal", "words"),
    [
        (lines(*WHOLE, run="r2"), None),
        (lines("begin", "end", run="r2"), None),
        (lines("begin", "switch", "arm", "confirm", run="r2"), "run r2 began to switch"),
        (lines(*WHOLE[:3], run="r2"), "run r2 ended 0, but lb1 has no confirmation of it"),
        ((), "run without a begin ended 0"),
    ],
)
def test_the_truth_has_the_order_of_every_run_and_the_good_end_of_the_next_one(
    journal: tuple[dict[str, t.Any], ...], words: str | None
) -> None:
    case = case_on(look(journal=(*lines(*WHOLE[:3], "revert"), *journal)))
    case.evidence.update(stopped_at={"run": "r1"}, live_before="1.1.0-bb")
    case._truth(t.cast(t.Any, Run(dies=True)))
    found = [problem for problem in case.problems if problem.startswith("run ")]
    assert (found == []) if words is None else any(words in problem for problem in found)


@pytest.mark.parametrize("fault", ["KILL", "cut", "reboot", "haproxy"])
def test_whatever_the_fault_a_guard_that_was_due_must_have_acted(fault: str) -> None:
    arm = {"step": "arm", "phase": "end", "outcome": "done", "run": "r1", "actor": "anna"}
    case = case_on(look(), PLAIN._replace(fault=fault))
    case.evidence["stopped_at"] = {"run": "r1"}
    case._blame("lb1", look(journal=(arm,)), ())
    assert ["the guard was due for run r1" in problem for problem in case.problems] == [True]
    case.problems.clear()
    case._blame("lb1", look(journal=(arm, {**arm, "step": "revert", "actor": "guard"})), ())
    assert case.problems == []


def strike(monkeypatch: pytest.MonkeyPatch, run: Run, line: dict[str, t.Any]) -> list[str]:
    case = case_on(look(), PLAIN._replace(fault="TERM", scenario="resumed"))
    monkeypatch.setattr(Stop, "line", line)
    monkeypatch.setattr(one_case, "Stop", Stop)
    monkeypatch.setattr(injections, "inject", lambda *_arguments: None)
    monkeypatch.setattr(case.fleet, "start", lambda *_arguments: run, raising=False)
    case._strike("1.1.0")
    return case.problems


def test_a_run_that_lives_on_after_its_signal_was_not_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert strike(monkeypatch, Run(dies=True), {"outcome": "done"}) == []
    assert strike(monkeypatch, Run(dies=False), {"outcome": "done"}) == ["the run survived SIGTERM"]
    assert strike(monkeypatch, Run(dies=False, stubborn=True), {"outcome": "done"}) == []


def test_a_step_that_failed_is_not_the_point_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert strike(monkeypatch, Run(dies=True), {"outcome": None}) == []
    assert strike(monkeypatch, Run(dies=True), {"outcome": "failed"}) == ["switch had failed before the fault struck"]


@pytest.mark.parametrize(
    ("intent", "after", "ended", "freed"),
    [
        ({"status": "armed"}, 5.0, True, False),  # the guard has no room
        ({"status": "armed"}, 14.5, True, True),
        (None, 5.0, True, True),
        (None, 14.5, False, False),
    ],
)
def test_a_full_disk_gets_room_when_no_guard_needs_it_or_the_guard_had_its_time(
    monkeypatch: pytest.MonkeyPatch, intent: t.Any, after: float, ended: bool, freed: bool
) -> None:
    undone: list[Case] = []
    monkeypatch.setattr(injections, "undo", lambda _lab, case: undone.append(case))
    case = case_on(look(), FULL)
    case._lasts, case._struck = True, 1000.0
    seen = look(intent=intent)
    case._undo({"lb1": seen, "lb2": look()}, 1000.0 + after, ended)
    assert (undone == [FULL], case._lasts, case.problems) == (freed, not freed, [])


def test_on_a_full_disk_traffic_that_is_not_back_in_time_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(injections, "undo", lambda *_arguments: None)
    case = case_on(look(), FULL)
    case._lasts, case._struck = True, 1000.0
    case._undo({"lb1": look(intent={"status": "armed"}, haproxy="green:none:0"), "lb2": look()}, 1014.5, True)
    assert ["the disk is full and traffic goes to green" in problem for problem in case.problems] == [True]


def test_a_guard_whose_arming_was_held_counts_from_the_release() -> None:
    seen = look(journal=({"step": "arm", "phase": "begin", "boottime": 100.0},))
    case = case_on(seen, PLAIN._replace(step="arm", point="before", fault="dockerd"))
    case._released = 105.0
    assert case._guard_due("lb1", seen) == 105.0 + 12.0
    assert case._guard_due("lb2", seen) == 100.0 + 12.0
    assert case._guard_due("lb1", look()) is None


@pytest.mark.parametrize(("scenario", "due"), [("watched", 120.0), ("shifted", 120.0), ("plain", 112.0)])
def test_a_guard_that_is_renewed_while_gates_look_counts_from_its_own_word(scenario: str, due: float) -> None:
    arm = ({"step": "arm", "phase": "begin", "boottime": 100.0},)
    case = case_on(look(), PLAIN._replace(scenario=scenario))
    assert case._guard_due("lb1", look(journal=arm, intent={"deadline_boottime": 120.0})) == due
    assert case._guard_due("lb1", look(journal=arm)) == due  # it has acted, and its word is gone
    assert case._guard_due("lb2", look(journal=arm)) == 112.0


class Clock:
    """Time that passes only while somebody looks (1.5 s) or sleeps."""

    CLOCK_BOOTTIME = 7

    def __init__(self) -> None:
        self.now = 0.0

    def time(self) -> float:
        return self.now

    monotonic = time

    def clock_gettime(self, _which: int) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize(("armed_until", "problems"), [(2.0, 0), (5.0, 1)])
def test_two_seconds_after_it_was_due_a_look_must_find_rest_however_long_it_takes(
    monkeypatch: pytest.MonkeyPatch, armed_until: float, problems: int
) -> None:
    clock, calm = Clock(), look(servers=(("blue", "app1-1", "UP"),))
    case = case_on(calm)

    def look_at(*_arguments: object) -> dict[str, Look]:
        seen = calm._replace(intent={"status": "armed"}) if clock.now < armed_until else calm
        clock.now += 1.5
        return {"lb1": seen, "lb2": seen}

    run = Run(dies=True)
    monkeypatch.setattr(one_case, "time", clock)
    monkeypatch.setattr(case.fleet, "look_at", look_at)
    monkeypatch.setattr(run, "runs", lambda: False)
    case._watch(t.cast(t.Any, run))
    assert len(case.problems) == problems


def test_a_watch_that_does_not_end_is_ended_by_the_release(monkeypatch: pytest.MonkeyPatch) -> None:
    class Watch:
        killed = False

        def poll(self) -> None:
            return None

        def wait(self, timeout: float | None = None) -> None:
            if not self.killed:
                raise subprocess.TimeoutExpired("watch", timeout or 0.0)

        def kill(self) -> None:
            self.killed = True

    monkeypatch.setattr(stops, "docker", lambda *_arguments, **_options: None)
    stop = stops.Stop.__new__(stops.Stop)
    stop.container, watch = "lab-lb1", Watch()
    stop._watch = t.cast(t.Any, watch)
    stop.release()
    assert watch.killed
