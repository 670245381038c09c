# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A verdict of the fault suite can fail: every kind of lie and of lost request is found."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible_collections.vitalops.rollout.tests.faults import injections, looks, runs, verdicts
from ansible_collections.vitalops.rollout.tests.faults.cases import Case
from ansible_collections.vitalops.rollout.tests.faults.injections import Allowance
from ansible_collections.vitalops.rollout.tests.faults.looks import Look

BOTH = ("lb1", "lb2")


def entry(step: str, phase: str, outcome: str | None = None, *, run: str = "r1", **other: t.Any) -> dict[str, t.Any]:
    return {
        "step": step,
        "phase": phase,
        "outcome": outcome,
        "run": run,
        "actor": "anna",
        "source": "command line",
        "slot": "green",
        "at": "2026-11-21T17:20:03Z",
        "boottime": 100.0,
        "boot_id": "kernel:7",
        **other,
    }


def done(step: str, **other: t.Any) -> list[dict[str, t.Any]]:
    return [entry(step, "begin", **other), entry(step, "end", "done", **other)]


def seen(**changed: t.Any) -> Look:
    state = {
        "live": "blue",
        "slots": {"blue": {"release": {"id": "1.0.0-aa"}}, "green": {"release": {"id": "1.1.0-bb"}}},
        "history": [{"outcome": "confirmed", "operation": "deploy"}],
    }
    told: dict[str, t.Any] = {
        "boottime": 100.0,
        "boot": "7",
        "journal": (),
        "file": "blue:none:0",
        "haproxy": "blue:none:0",
        "servers": (("blue", "app1-1", "UP"), ("green", "app1-1", "DOWN")),
        "state": state,
        "answers": ((200, "1.0.0-aa"), (200, "1.0.0-aa")),
    }
    return Look(**{**told, **changed})


def report(latency: float = 100.0, **failed: list[float]) -> dict[str, t.Any]:
    """A report of 100 requests to each load balancer; *failed* says when those were due that failed."""
    targets = {
        name: {
            "requests": 100,
            "failures": len(failed.get(name, [])),
            "last_failure": max(failed.get(name, []), default=None),
            "failed": [
                {"time": time, "kind": "read", "method": "GET", "reason": "status 503", "latency_ms": latency}
                for time in failed.get(name, [])
            ],
        }
        for name in BOTH
    }
    return {"requests": 200, "running": True, "in_flight": 0, "targets": targets}


def judged(told: dict[str, t.Any], allowed: Allowance | None = None, expected: float = 100.0) -> verdicts.Requests:
    return verdicts.requests(told, allowed, BOTH, expected)


DOWN = Allowance(("lb1",), 10.0, 20.0, "it was down")


def test_no_failed_request_is_no_problem() -> None:
    assert judged(report()) == (200, {}, [], 0)


def test_one_failed_request_is_a_problem_with_its_time_and_reason() -> None:
    (problem,) = judged(report(lb2=[12.0])).problems
    assert "1 requests to lb2" in problem
    assert "12.0" in problem
    assert "status 503" in problem


def test_a_target_that_got_no_request_proves_nothing() -> None:
    silent = {**report(), "targets": {"lb1": report()["targets"]["lb1"]}}
    assert judged(silent).problems == ["no requests were sent to lb2, 100 were due"]


def test_less_than_four_fifths_of_the_load_is_no_load() -> None:
    assert judged(report(), expected=125.0).problems == []
    assert judged(report(), expected=126.0).problems == [
        "100 requests were sent to lb1, 126 were due",
        "100 requests were sent to lb2, 126 were due",
    ]


def test_a_load_that_stopped_or_was_not_answered_proves_nothing() -> None:
    assert judged({**report(), "running": False}).problems == ["the load generator has stopped"]
    (problem,) = judged({**report(), "in_flight": 2}).problems
    assert "2 requests were still in flight" in problem


@pytest.mark.parametrize(("target", "time", "excused"), [("lb1", 15.0, 1), ("lb1", 21.0, 0), ("lb2", 15.0, 0)])
def test_a_fault_excuses_its_own_target_while_it_lasts(target: str, time: float, excused: int) -> None:
    found = judged(report(**{target: [time]}), DOWN)
    assert (found.excused.get(target, 0), len(found.problems)) == (excused, 1 - excused)


@pytest.mark.parametrize(("latency", "excused"), [(900.0, 0), (1000.0, 1), (3000.0, 1)])
def test_a_fault_excuses_no_request_that_had_failed_before_it_struck(latency: float, excused: int) -> None:
    assert judged(report(latency, lb1=[9.0]), DOWN).excused.get("lb1", 0) == excused


def test_nothing_is_excused_before_the_moment_of_the_fault() -> None:
    for fault, host in (("haproxy", "lb1"), ("reboot", "lb1"), ("reboot", "app1")):
        allowed = injections.allowance(Case("deploy", "workers", "after", fault, host), 10.0, 15.0)
        assert allowed is not None
        assert allowed.since == 10.0


@pytest.mark.parametrize(("last", "excused", "problems"), [(19.0, 31, 0), (21.0, 1, 1)])
def test_failures_that_are_not_listed_are_excused_only_when_the_last_one_is(
    last: float, excused: int, problems: int
) -> None:
    told = report(lb1=[12.0])
    told["targets"]["lb1"].update(failures=31, last_failure=last)
    found = judged(told, DOWN)
    assert (found.excused["lb1"], len(found.problems)) == (excused, problems)
    assert len(judged(told).problems) == 2


@pytest.mark.parametrize("fault", ["KILL", "TERM", "INT", "HUP", "cut", "dockerd", "disk"])
def test_no_request_may_fail_when_no_path_goes_down(fault: str) -> None:
    assert injections.allowance(Case("deploy", "switch", "after", fault, "lb1"), 10.0, 11.0) is None


def test_a_rebooted_load_balancer_excuses_nothing_at_the_other_one() -> None:
    allowed = injections.allowance(Case("deploy", "switch", "after", "reboot", "lb2"), 10.0, 15.0)
    assert allowed is not None
    assert allowed.targets == ("lb2",)


def test_a_rebooted_application_host_is_noticed_within_seconds() -> None:
    allowed = injections.allowance(Case("deploy", "workers", "after", "reboot", "app1"), 10.0, 60.0)
    assert allowed is not None
    assert (allowed.targets, allowed.until) == (BOTH, 10.0 + injections.NOTICED_SECONDS)


def test_a_healthy_live_slot_is_sound() -> None:
    assert looks.unsound(seen()) == []


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"file": "green:none:0"}, "map file green:none:0, HAProxy blue:none:0"),
        ({"file": None, "haproxy": None}, "is not one slot"),
        ({"haproxy": "blue:green:10", "file": "blue:green:10"}, "is not one slot"),
        ({"servers": (("green", "app1-1", "UP"),)}, "no instance of slot blue is up"),
        ({"answers": ((200, "1.0.0-aa"), (503, None))}, "answers [200, 503]"),
        ({"answers": ((200, "1.0.0-aa"), (200, "1.1.0-bb"))}, "several releases"),
    ],
)
def test_what_is_not_one_healthy_slot_is_named(changed: dict[str, t.Any], words: str) -> None:
    assert any(words in problem for problem in looks.unsound(seen(**changed)))


def test_a_host_that_does_not_answer_is_not_sound() -> None:
    assert looks.unsound(None) == ["the host does not answer"]


def test_a_step_that_ended_is_told() -> None:
    assert verdicts.untold("lb1", [*done("begin"), *done("switch")], []) == []


def test_a_step_that_nobody_tells_the_end_of_is_a_lie() -> None:
    (problem,) = verdicts.untold("lb1", [*done("begin"), entry("switch", "begin")], [])
    assert "step switch of run r1" in problem


@pytest.mark.parametrize(
    "later",
    [
        [entry("switch", "end", "failed")],
        [entry("revert", "begin", actor="guard"), entry("revert", "end", "done", actor="guard")],
        [entry("end", "begin"), entry("end", "end", "done")],
    ],
)
def test_an_end_or_a_revert_of_the_run_tells_of_a_step(later: list[dict[str, t.Any]]) -> None:
    assert verdicts.untold("lb1", [entry("switch", "begin"), *later], []) == []


def test_an_end_that_a_reboot_cut_off_is_told_by_the_next_run_that_begins() -> None:
    assert verdicts.untold("lb1", [entry("end", "begin")], []) != []
    assert verdicts.untold("lb1", [entry("end", "begin"), *done("begin", run="r2")], []) == []
    assert verdicts.untold("lb1", [entry("switch", "begin"), *done("begin", run="r2")], []) != []


#: What real runs said (lb1 of a roll back whose disk was full; lb2 of a deploy that a reboot cut off).
STATUS = """\
reference (lab)
  live        1.1.0-24779116de78 in slot green
  traffic     green:none:0, HAProxy green:none:0
  lease       roll_back by unknown (command line) since 2026-11-21T23:41:19Z, for another 0.8 s unless renewed
  guard       nothing armed
  unfinished  Found roll_back 1f5e04ec7905a74c by unknown (command line), cut off after step begin at \
2026-11-21T23:41:19Z; traffic not moved by it, guard off. Now: it is closed, as no traffic is left to move.
"""
OUTPUT = """
ok: [lb1] =>
    msg: |-
        lb1: Took over the lease of run 1f5e04ec7905a74c (roll_back by unknown, command line), whose time was over. \
Found roll_back 1f5e04ec7905a74c by unknown (command line), cut off after step begin at 2026-11-21T23:41:19Z; traffic \
not moved by it, guard off. Now: it is closed, as no traffic is left to move.
        lb2: Took over the lease of run e34e3155879363d0 (deploy by unknown, command line), whose time was over. \
Found deploy e34e3155879363d0 of 1.1.0-561f8b637f56 by unknown (command line), cut off in step begin at \
2026-11-21T23:40:51Z; traffic not moved by it, guard off. Now: it is closed, as no traffic is left to move.
        lb1, lb2 agree: each has release 1.1.0-24779116de78 live in slot green.
"""
ACTED = (
    "The guard has acted: the switch of reference to blue by unknown was not confirmed after 12 s: "
    "traffic is back on green."
)


def test_the_next_run_says_of_each_load_balancer_what_its_status_said() -> None:
    assert verdicts.unsaid("lb1", STATUS, OUTPUT) == []
    (problem,) = verdicts.unsaid("lb2", STATUS, OUTPUT)
    assert "Found roll_back 1f5e04ec7905a74c" in problem
    assert len(verdicts.unsaid("lb1", STATUS.replace("23:41:19", "23:41:20"), OUTPUT)) == 1
    assert verdicts.unsaid("lb1", "reference (lab)\n  guard       nothing armed\n", "") == []


def test_the_next_run_says_that_the_guard_has_acted() -> None:
    status = f"  guard       nothing armed\n  unfinished  {ACTED}\n"
    taken = f"        lb1: Took over the lease of run 079b06b384cb01e7 (roll_back by u), whose time was over. {ACTED}\n"
    assert verdicts.unsaid("lb1", status, taken) == []
    assert len(verdicts.unsaid("lb1", status, taken.replace("lb1", "lb2"))) == 1
    assert len(verdicts.unsaid("lb1", status, taken.replace("green", "blue"))) == 1


def test_a_guard_that_acted_is_something_found_also_without_a_lease() -> None:
    (said,) = runs.found_in(f"        lb1: {ACTED}\n        lb1, lb2 agree: each has release 1.0.0 live.\n")
    assert said == f"lb1: {ACTED}"
    assert runs.short(said) == "lb1 was left to its guard"


def test_the_next_run_tells_of_a_step_in_one_sentence_about_that_host() -> None:
    cut = [entry("begin", "begin", run="e34e3155879363d0")]
    said = runs.found_in(OUTPUT)
    assert verdicts.untold("lb2", cut, said) == []
    assert verdicts.untold("lb1", cut, said) != []
    assert verdicts.untold("lb2", [entry("begin", "begin", run="1f5e04ec7905a74c")], said) != []
    assert verdicts.untold("lb1", [entry("begin", "begin", run="1f5e04ec7905a74c")], said) != []  # after, not in it
    assert verdicts.named("lb2", "e34e3155879363d0", said)
    assert not verdicts.named("lb1", "e34e3155879363d0", said)


def test_on_an_application_host_the_next_run_does_the_step_again() -> None:
    cut = [entry("stage", "begin")]
    assert verdicts.untold("app1", cut, []) != []
    assert verdicts.untold("app1", [*cut, *done("stage", run="r2")], []) == []
    assert verdicts.untold("lb1", [*cut, *done("stage", run="r2")], []) != []


def test_a_withhold_that_was_cut_off_is_over_once_the_same_slot_is_staged_anew() -> None:
    cut = [entry("withhold", "begin", slot="blue")]
    assert verdicts.untold("app2", [*cut, *done("stage", run="r2", slot="blue")], []) == []
    assert verdicts.untold("app2", [*cut, *done("stage", run="r2", slot="green")], []) != []
    assert verdicts.untold("app2", [*cut, entry("stage", "begin", run="r2", slot="blue")], []) != []


def test_who_is_armed_is_confirmed_or_reverted() -> None:
    assert verdicts.kept("lb1", [*done("arm"), *done("confirm")]) == []
    assert verdicts.kept("lb1", [*done("arm"), *done("revert", actor="guard", source="after 6 s")]) == []
    (problem,) = verdicts.kept("lb1", [*done("arm"), *done("switch")])
    assert "neither confirmed nor reverted" in problem


def test_a_promise_ends_before_another_run_arms() -> None:
    late = [*done("arm"), *done("arm", run="r2"), *done("confirm", run="r2")]
    assert len(verdicts.kept("lb1", late)) == 1
    assert verdicts.kept("lb1", late, resumed=True) == []
    assert verdicts.kept("lb1", late, lost={"r1"}) == []
    assert verdicts.kept("lb1", [*done("arm"), *done("adopt", run="r2"), *late[2:]]) == []
    assert verdicts.kept("lb1", [*done("arm"), *done("revert", run="r2"), *late[2:]]) == []
    assert verdicts.kept("lb1", [*done("arm"), *done("arm"), *done("confirm")]) == []


def history(*confirmed: tuple[str, str, str]) -> dict[str, t.Any]:
    """A state whose history has what was *confirmed*: at (seconds), operation, release."""
    told = [
        {"at": f"2026-11-21T17:20:{at}Z", "operation": operation, "release": release, "outcome": "confirmed"}
        for at, operation, release in confirmed
    ]
    return {"history": told}


CONFIRMED = [
    entry("confirm", "begin", at="2026-11-21T17:20:03Z", operation="deploy", release="new"),
    entry("confirm", "end", "done", at="2026-11-21T17:20:05Z", operation="deploy", release="new"),
]


@pytest.mark.parametrize(
    ("confirmed", "problems"),
    [
        ([("01", "deploy", "old"), ("04", "deploy", "new")], 0),
        ([("01", "deploy", "new")], 0),  # confirmed once more: nothing is new
        ([("01", "deploy", "old")], 1),
        ([("01", "roll_back", "new")], 1),
        ([("04", "deploy", "old")], 1),
        ([("03", "deploy", "new"), ("04", "deploy", "new")], 1),
        ([("01", "deploy", "old"), ("09", "deploy", "new")], 1),
        ([("04", "deploy", "new"), ("09", "roll_back", "old")], 0),
    ],
)
def test_a_confirmation_is_once_in_the_history(confirmed: list[tuple[str, str, str]], problems: int) -> None:
    assert len(verdicts.unrecorded("lb1", CONFIRMED, history(*confirmed))) == problems


def test_only_what_runs_confirmed_themselves_after_they_followed_is_asked_of_the_history() -> None:
    assert verdicts.unrecorded("lb1", [*CONFIRMED, *done("adopt")], history()) == []
    assert verdicts.unrecorded("lb1", [{**one, "actor": "guard"} for one in CONFIRMED], history()) == []
    left = [{**one, "detail": "left by an earlier run: Found deploy r1"} for one in CONFIRMED]
    assert verdicts.unrecorded("lb1", left, history()) == []


LEFT = "left by an earlier run: Found deploy r0"


def step(name: str, since: float, until: float, **other: t.Any) -> list[dict[str, t.Any]]:
    return [entry(name, "begin", boottime=since, **other), entry(name, "end", "done", boottime=until, **other)]


def moved(arm: float = 1.0, switch: float = 3.0, confirm: float = 5.0, **other: t.Any) -> list[dict[str, t.Any]]:
    """What a run writes that arms, switches and confirms at these moments, each for a second."""
    places = (("arm", arm), ("switch", switch), ("confirm", confirm))
    return [line for name, at in places for line in step(name, at, at + 1.0, **other)]


def test_all_are_armed_then_all_are_switched_then_all_are_confirmed() -> None:
    assert verdicts.out_of_order({"lb1": moved(), "lb2": moved(arm=1.5, switch=3.5, confirm=5.5)}) == []
    assert verdicts.out_of_order({"lb1": moved(), "lb2": moved(arm=2.0, switch=4.0)}) == []  # at that very moment
    assert verdicts.out_of_order({"lb1": [], "lb2": []}) == []
    assert verdicts.out_of_order({"lb1": done("adopt"), "lb2": done("revert")}) == []
    assert verdicts.out_of_order({"lb1": step("arm", 1.0, 2.0), "lb2": []}) == []  # it died here


@pytest.mark.parametrize(
    ("later", "words"),
    [
        ({"arm": 2.1}, "run r1 began to switch on lb1; its arm on lb2 ended 0.100 s later"),
        ({"switch": 4.1}, "run r1 began to confirm on lb1; its switch on lb2 ended 0.100 s later"),
    ],
)
def test_a_load_balancer_that_waits_for_no_other_one_is_found(later: dict[str, float], words: str) -> None:
    assert verdicts.out_of_order({"lb1": moved(), "lb2": moved(**later)}) == [words]
    assert verdicts.out_of_order({"lb2": moved(**later), "lb1": moved()}) == [words]


def test_it_is_the_last_end_and_the_first_begin_that_count() -> None:
    again = [*moved(), *step("arm", 3.2, 3.4)]
    assert len(verdicts.out_of_order({"lb1": again, "lb2": moved()})) == 1
    early = [*step("confirm", 3.2, 3.3), *moved()]
    assert len(verdicts.out_of_order({"lb1": moved(), "lb2": early})) == 2


def test_only_an_end_that_is_good_is_waited_for() -> None:
    failed = [entry("arm", "begin"), entry("arm", "end", "failed", boottime=2.0)]
    never = "run r1 began to switch on lb1; its arm on lb2 ended never"
    assert verdicts.out_of_order({"lb1": moved()[:3], "lb2": failed}) == [never]
    assert verdicts.out_of_order({"lb1": moved()[:3], "lb2": []}) == [never]
    alone = moved()[2:]  # without any arm
    assert len(verdicts.out_of_order({"lb1": alone, "lb2": alone})) == 2


def test_each_run_is_measured_by_its_own_entries() -> None:
    died = step("arm", 1.0, 2.0)
    resumed = moved(11.0, 13.0, 15.0, run="r2")
    both = {"lb1": [*died, *step("switch", 3.0, 4.0), *resumed], "lb2": [*died, *resumed]}
    assert verdicts.out_of_order(both) == []
    late = {**both, "lb2": [*died, *moved(11.0, 14.5, 15.0, run="r2")]}
    (problem,) = verdicts.out_of_order(late)
    assert "run r2 began to confirm on lb1" in problem


def test_what_the_guard_or_the_next_run_clears_up_is_in_no_order() -> None:
    guard = step("confirm", 3.5, 3.6, actor="guard")
    assert verdicts.out_of_order({"lb1": [*moved()[:4], *guard], "lb2": moved()[:4]}) == []
    left = step("confirm", 0.5, 0.6, detail=LEFT)
    assert verdicts.out_of_order({"lb1": [*left, *moved()], "lb2": moved()}) == []
    assert verdicts.out_of_order({"lb1": [*step("confirm", 0.5, 0.6), *moved()], "lb2": moved()}) != []


def test_a_container_that_restarts_keeps_the_clock_and_another_kernel_has_another_one() -> None:
    restarted = moved(boot_id="kernel:9")
    assert verdicts.out_of_order({"lb1": moved(), "lb2": restarted}) == []
    assert len(verdicts.out_of_order({"lb1": moved(), "lb2": moved(arm=2.1, boot_id="kernel:9")})) == 1
    (problem,) = verdicts.out_of_order({"lb1": moved(), "lb2": moved(boot_id="other:7")})
    assert "the clocks of kernels kernel, other tell no order" in problem


NEW = {"release": "1.0.0-aa"}  # what seen() says is live


def proven(lb1: list[dict[str, t.Any]], lb2: list[dict[str, t.Any]], **changed: t.Any) -> list[str]:
    return verdicts.unproven("r1", {"lb1": seen(journal=tuple(lb1)), "lb2": seen(journal=tuple(lb2), **changed)})


def test_a_run_that_ended_with_0_is_confirmed_on_every_load_balancer() -> None:
    unconfirmed = "run r1 ended 0, but lb2 has no confirmation of it"
    assert proven(moved(**NEW), moved(**NEW)) == []
    assert proven(moved(**NEW), moved(**NEW)[:4]) == [unconfirmed]
    assert proven(moved(**NEW), moved(**NEW)[:5]) == [unconfirmed]
    assert proven(moved(**NEW), [*moved(**NEW)[:5], entry("confirm", "end", "failed", **NEW)]) == [unconfirmed]
    assert proven(moved(**NEW), moved(run="r2", **NEW)) == [unconfirmed]
    assert proven(moved(**NEW), [*moved(**NEW)[:4], *done("confirm", actor="guard", **NEW)]) == [unconfirmed]
    assert proven(moved(**NEW), [*done("confirm", detail=LEFT, **NEW), *moved(**NEW)[:4]]) == [unconfirmed]
    assert verdicts.unproven("r1", {"lb1": seen(journal=tuple(moved(**NEW))), "lb2": None}) == [unconfirmed]


def test_a_run_that_had_nothing_to_move_ends_without_a_confirmation() -> None:
    nothing = [*done("begin", **NEW), *done("end", **NEW)]
    assert proven(nothing, nothing) == []
    assert proven(nothing, [*done("begin"), *done("adopt"), *nothing[2:]]) == []
    assert len(proven(nothing, nothing[:2])) == 1
    assert len(proven(nothing, [*nothing[:2], entry("end", "end", "failed", **NEW)])) == 1
    failed = [*nothing[:2], *done("end", detail="another host failed", **NEW)]
    assert len(proven(failed, failed)) == 2
    assert len(proven([*moved(**NEW)[:4], *nothing[2:]], nothing)) == 2  # one host moved, so both were to confirm
    assert len(proven([*moved(**NEW)[:2], *nothing[2:]], nothing)) == 2


def test_a_run_that_ended_with_0_is_on_record_everywhere() -> None:
    other = {**t.cast("dict[str, t.Any]", seen().state), "live": "green"}
    (problem,) = proven(moved(**NEW), moved(**NEW), state=other)
    assert problem == "run r1 ended 0 with 1.0.0-aa, but state.json of lb2 says 1.1.0-bb"
    assert len(proven(done("end", **NEW), done("end", **NEW), state=other)) == 1
    assert len(proven(moved(**NEW), moved(**NEW), state="ValueError: damaged")) == 1
    assert len(proven(moved(**NEW), moved(release=None), state="ValueError: damaged")) == 1


def test_the_next_run_is_the_one_that_began_last() -> None:
    lines = [*done("begin", run="r0"), *done("begin", run="r2"), *done("begin"), *done("arm", run="r3")]
    assert verdicts.newest_run(lines, "r1") == "r2"
    assert verdicts.newest_run(done("begin"), "r1") == "without a begin"
    assert verdicts.newest_run(done("begin"), None) == "r1"


def test_on_a_full_disk_users_are_sent_back_without_the_file() -> None:
    armed = {"status": "armed"}
    assert verdicts.not_back("lb1", seen(intent=armed, file="green:none:0")) == []
    (problem,) = verdicts.not_back("lb1", seen(intent=armed, haproxy="green:none:0"))
    assert "traffic goes to green:none:0" in problem
    assert verdicts.not_back("lb1", seen(haproxy="green:none:0")) == []


def test_whatever_is_not_taken_back_is_pending() -> None:
    assert not looks.pending(seen())
    assert looks.pending(None)
    assert looks.pending(seen(intent={"status": "armed"}))
    assert looks.pending(seen(intent={"status": "inconsistent"}))
    assert looks.pending(seen(intent="ValueError: damaged"))
    assert looks.restless(seen()) == []
    assert looks.restless(seen(intent={"status": "inconsistent"})) == ["the guard is armed"]


def test_a_guard_counts_from_where_its_arming_began() -> None:
    journal = (entry("arm", "begin", boottime=5.0), entry("arm", "end", "done", boottime=9.0), entry("switch", "begin"))
    assert looks.last_arm(seen(journal=journal)) == 5.0
    assert looks.last_arm(seen()) is None


def test_a_guard_was_due_when_the_dead_run_armed_it_and_never_confirmed() -> None:
    assert verdicts.guard_was_due([*done("arm"), *done("switch")])
    assert not verdicts.guard_was_due([*done("arm"), *done("switch"), *done("confirm")])
    assert not verdicts.guard_was_due([*done("arm"), *done("switch"), *done("revert")])
    assert verdicts.guard_was_due([*done("arm"), *done("switch"), *done("revert", actor="guard")])
    assert not verdicts.guard_was_due(done("begin"))
    assert verdicts.by_guard(done("revert", actor="guard"))
    assert not verdicts.by_guard(done("revert"))
    assert verdicts.by_guard(done("confirm", actor="guard"))


def test_who_takes_a_switch_up_does_not_take_it_back() -> None:
    assert verdicts.went_back("lb1", [*done("arm"), *done("confirm", run="r2")]) == []
    (problem,) = verdicts.went_back("lb1", [*done("arm"), *done("revert", actor="guard")])
    assert "taken back by guard" in problem


def test_state_pointer_and_answers_must_agree() -> None:
    assert verdicts.state_lies("lb1", seen()) == []
    assert any("traffic goes to" in lie for lie in verdicts.state_lies("lb1", seen(haproxy="green:none:0")))
    assert any("users get" in lie for lie in verdicts.state_lies("lb1", seen(answers=((200, "9.9.9-zz"),))))
    assert verdicts.state_lies("lb1", seen(state="ValueError: damaged")) != []


def test_what_a_host_tells_is_read_and_torn_lines_are_counted() -> None:
    told = {"boottime": 1.0, "boot": "7", "journal": ['{"step": "arm"}', '{"st'], "servers": [["blue", "a", "UP"]]}
    found = looks.parse(json.dumps(told))
    assert (found.journal, found.torn, found.servers) == (({"step": "arm"},), 1, (("blue", "a", "UP"),))


@pytest.mark.parametrize(
    ("lease", "left"),
    [
        (None, 0.0),
        ({"released": True, "seconds": 6, "expires_boottime": 104.0, "boot_id": "k:7"}, 0.0),
        ({"released": False, "seconds": 6, "expires_boottime": 104.0, "boot_id": "k:7"}, 4.0),
        ({"released": False, "seconds": 6, "expires_boottime": 90.0, "boot_id": "k:7"}, 0.0),
        ({"released": False, "seconds": 6, "expires_boottime": 500.0, "boot_id": "k:9800"}, 4.0),
    ],
)
def test_the_next_run_waits_for_the_lease_of_the_dead_one(lease: t.Any, left: float) -> None:
    boot = "9800" if lease and lease["boot_id"] == "k:9800" else "7"
    if boot == "9800":
        lease = {**lease, "boot_id": "k:7"}
    assert looks.lease_left(seen(lease=lease, boot=boot)) == pytest.approx(left)


def test_a_second_roll_back_would_move_nothing() -> None:
    assert looks.may_roll_back(seen())
    state = {
        **t.cast("dict[str, t.Any]", seen().state),
        "history": [{"outcome": "confirmed", "operation": "roll_back"}],
    }
    assert not looks.may_roll_back(seen(state=state))


def containers(*names: str) -> Look:
    return Look(boottime=1.0, boot="7", journal=(), containers=dict.fromkeys(names, "10:00"))


def test_workers_follow_the_traffic_and_one_scheduler_runs() -> None:
    good = {
        "app1": containers("reference-blue-worker-1", "reference-blue-scheduler-1", "reference-green-web-1"),
        "app2": containers("reference-blue-worker-1"),
    }
    assert looks.strays(good, "blue") == []
    assert len(looks.strays(good, "green")) == 3
    twice = {**good, "app2": containers("reference-blue-worker-1", "reference-blue-scheduler-1")}
    assert looks.strays(twice, "blue") != []


def test_what_runs_where_users_are_runs_on_through_a_run_that_goes_on_with_it() -> None:
    names = ("reference-green-web-1", "reference-green-worker-1", "reference-blue-scheduler-1")
    before = {"app1": containers(*names), "app2": containers()}
    moved = containers(*names[:2], "reference-green-scheduler-1")  # blue's stops when its turn comes
    assert looks.restarted(before, {"app1": moved, "app2": containers(*names)}, "green") == []
    again = moved._replace(containers={**moved.containers, names[1]: "10:05"})
    assert looks.restarted(before, {"app1": again}, "green") == [f"{names[1]} on app1 ran since 10:00, then 10:05"]
    assert len(looks.restarted(before, {"app1": containers()}, "green")) == 2
    assert [looks.works(before.get(host), "green") for host in ("app1", "app2", "app3")] == [True, False, False]


def test_what_the_next_run_says_is_found_in_its_output() -> None:
    output = (
        "ok: [lb1] =>\n    msg: |-\n        lb1: Found deploy r1 of 1.1.0-bb by anna (command line), cut off after "
        "step switch at 2026-11-21T17:20:03Z; traffic in slot blue, guard off. Now: it is closed, as traffic was taken "
        "back already.\n        Stage release 1.1.0-bb in slot green.\n"
    )
    (said,) = runs.found_in(output)
    assert runs.short(said) == "lb1 after switch: it is closed, as traffic was taken back already"


def test_a_run_that_found_nothing_says_nothing() -> None:
    assert runs.found_in("lb1 has release 1.0.0 live in slot blue.\n") == []


def test_a_lease_that_was_taken_over_is_something_found() -> None:
    (said,) = runs.found_in("        lb2: Took over the lease of run r1 (deploy by anna), whose time was over.\n")
    assert runs.short(said) == "lb2 took over the lease"
    both = f"{said} Found deploy r1, cut off after step begin at 17:20. Now: it is closed."
    assert runs.short(both) == "lb2 after begin: it is closed"


def test_a_lease_that_was_broken_is_something_found() -> None:
    (said,) = runs.found_in("        lb2: Broke the lease of run r1 (deploy by anna, x): its driver was killed.\n")
    assert runs.short(said) == "lb2 broke the lease"


def test_a_lease_that_was_never_given_back_must_be_told_of() -> None:
    assert looks.lease_kept(seen(lease={"released": False}))
    assert not looks.lease_kept(seen(lease={"released": True}))
    assert not looks.lease_kept(None)


def test_a_confirmation_that_the_power_cut_off_is_known_as_such() -> None:
    arm = [entry("arm", "begin"), entry("arm", "end", "done")]
    assert verdicts.cut_off(arm) == set()
    assert verdicts.cut_off([*arm, entry("confirm", "begin")]) == {"r1"}
    assert verdicts.cut_off([*arm, entry("confirm", "begin"), entry("confirm", "end", "failed")]) == set()
    assert verdicts.cut_off([*arm, entry("revert", "begin"), entry("revert", "begin", run="r2")]) == {"r1", "r2"}


def test_a_run_that_came_back_to_the_host_and_ended_there_has_told_its_end() -> None:
    cut = [*done("arm"), entry("revert", "begin")]
    assert not verdicts.closed("r1", cut)
    assert verdicts.closed("r1", [*cut, *done("end")])
    assert not verdicts.closed("r1", [*cut, *done("end", run="r2")])
    assert not verdicts.closed("r1", [*cut, entry("end", "begin")])
