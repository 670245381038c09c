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
        "at": "2026-11-21T17:20:03Z",
        "boottime": 100.0,
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


def report(**failed: list[float]) -> dict[str, t.Any]:
    targets = {
        name: {
            "requests": 100,
            "failures": len(failed.get(name, [])),
            "failed": [
                {"time": time, "kind": "read", "method": "GET", "reason": "status 503"} for time in failed.get(name, [])
            ],
        }
        for name in BOTH
    }
    return {"requests": 200, "targets": targets}


def test_no_failed_request_is_no_problem() -> None:
    assert verdicts.requests(report(), None, BOTH) == (200, {}, [], 0)


def test_one_failed_request_is_a_problem_with_its_time_and_reason() -> None:
    (problem,) = verdicts.requests(report(lb2=[12.0]), None, BOTH).problems
    assert "1 requests to lb2" in problem
    assert "12.0" in problem
    assert "status 503" in problem


def test_a_target_that_got_no_request_proves_nothing() -> None:
    silent = {"requests": 0, "targets": {"lb1": report()["targets"]["lb1"]}}
    assert verdicts.requests(silent, None, BOTH).problems == ["no request was sent to lb2"]


@pytest.mark.parametrize(("target", "time", "excused"), [("lb1", 15.0, 1), ("lb1", 21.0, 0), ("lb2", 15.0, 0)])
def test_a_fault_excuses_its_own_target_while_it_lasts(target: str, time: float, excused: int) -> None:
    found = verdicts.requests(report(**{target: [time]}), Allowance(("lb1",), 10.0, 20.0, "it was down"), BOTH)
    assert (found.excused.get(target, 0), len(found.problems)) == (excused, 1 - excused)


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
    assert verdicts.untold("lb1", [*done("begin"), *done("switch")], "") == []


def test_a_step_that_nobody_tells_the_end_of_is_a_lie() -> None:
    (problem,) = verdicts.untold("lb1", [*done("begin"), entry("switch", "begin")], "")
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
    assert verdicts.untold("lb1", [entry("switch", "begin"), *later], "") == []


def test_the_next_run_tells_of_a_step_by_its_run_and_name() -> None:
    cut = [entry("begin", "begin")]
    assert verdicts.untold("lb1", cut, "Found deploy r1 by anna, cut off in step begin at 17:20") == []
    assert verdicts.untold("lb1", cut, "Found deploy r0 by anna, cut off in step begin at 17:20") != []


def test_on_an_application_host_the_next_run_does_the_step_again() -> None:
    cut = [entry("stage", "begin")]
    assert verdicts.untold("app1", cut, "") != []
    assert verdicts.untold("app1", [*cut, *done("stage", run="r2")], "") == []
    assert verdicts.untold("lb1", [*cut, *done("stage", run="r2")], "") != []


def test_who_is_armed_is_confirmed_or_reverted() -> None:
    assert verdicts.kept("lb1", [*done("arm"), *done("confirm")]) == []
    assert verdicts.kept("lb1", [*done("arm"), *done("revert", actor="guard", source="after 6 s")]) == []
    (problem,) = verdicts.kept("lb1", [*done("arm"), *done("switch")])
    assert "neither confirmed nor reverted" in problem


def test_a_revert_at_the_deadline_is_the_guards() -> None:
    (problem,) = verdicts.kept("lb1", [*done("arm"), *done("revert", source="after 6 s")])
    assert "names anna" in problem


def test_a_guard_was_due_when_the_dead_run_armed_it_and_never_confirmed() -> None:
    assert verdicts.guard_was_due([*done("arm"), *done("switch")])
    assert not verdicts.guard_was_due([*done("arm"), *done("switch"), *done("confirm")])
    assert not verdicts.guard_was_due([*done("arm"), *done("switch"), *done("revert")])
    assert verdicts.guard_was_due([*done("arm"), *done("switch"), *done("revert", actor="guard")])
    assert not verdicts.guard_was_due(done("begin"))
    assert verdicts.by_guard(done("revert", actor="guard"))
    assert not verdicts.by_guard(done("revert"))


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
    return Look(boottime=1.0, boot="7", journal=(), containers=names)


def test_workers_follow_the_traffic_and_one_scheduler_runs() -> None:
    good = {
        "app1": containers("reference-blue-worker-1", "reference-blue-scheduler-1", "reference-green-web-1"),
        "app2": containers("reference-blue-worker-1"),
    }
    assert looks.strays(good, "blue") == []
    assert len(looks.strays(good, "green")) == 3
    twice = {**good, "app2": containers("reference-blue-worker-1", "reference-blue-scheduler-1")}
    assert looks.strays(twice, "blue") != []


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
