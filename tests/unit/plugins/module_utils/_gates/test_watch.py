# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All gates look in their own time; a watch ends with a decision, and never without one."""

from __future__ import annotations

import threading
import time
import typing as t

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._gates import specification
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.decision import GO, HOLD, REVERT, Times
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.look import Look
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.masking import Masking
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.verdict import (
    ERROR,
    FAIL,
    INCONCLUSIVE,
    NO_DATA,
    PASS,
)
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.watch import Progress, Watch, Watched

FOREVER = Times(60.0, 60.0)


def gate(name: str = "errors", **change: t.Any) -> specification.GateSpecification:
    told = {"name": name, "type": "traffic", "at_most": {"error_share": "1 %"}, "interval": "10 ms", **change}
    return specification.read({"bake": [told]})[0]


def says(*verdicts: str) -> t.Callable[[float], Look]:
    """A sampler that gives these verdicts, and the last one again and again."""
    left = list(verdicts)

    def look(_allowed: float) -> Look:
        verdict = left.pop(0) if len(left) > 1 else left[0]
        return Look(verdict, [f"seen {verdict}"], ["the last answer"] if verdict == FAIL else [])

    return look


def hangs_later() -> t.Callable[[float], Look]:
    """A sampler that passes at once, and then fails after a while."""
    seen: list[str] = []

    def look(_allowed: float) -> Look:
        seen.append("look")
        if len(seen) > 1:
            time.sleep(0.5)
        return Look(PASS if len(seen) == 1 else FAIL, [])

    return look


def until(watch: Watch, wanted: t.Callable[[Progress], bool]) -> Progress:
    ends = time.monotonic() + 5
    while not wanted(watch.progress()):
        assert time.monotonic() < ends, watch.progress()
        time.sleep(0.005)
    return watch.progress()


def test_a_phase_without_a_length_is_over_when_every_gate_has_passed() -> None:
    watch = Watch([Watched(gate(), says(NO_DATA, NO_DATA, PASS)), Watched(gate("p95"), says(PASS))], Times(0.0, 5.0))
    watch.start()
    done = until(watch, lambda progress: progress.action != HOLD)
    assert (done.action, list(done.reasons)) == (GO, [])
    assert [told["verdict"] for told in done.gates] == [PASS, PASS]


@pytest.mark.parametrize("policy", ["revert", "hold"])
def test_what_is_inconclusive_in_a_phase_without_a_length_has_its_time(policy: str) -> None:
    few = says(INCONCLUSIVE, INCONCLUSIVE, INCONCLUSIVE, PASS)
    watch = Watch([Watched(gate(on_inconclusive=policy), few)], Times(0.0, 5.0))
    watch.start()
    assert until(watch, lambda progress: progress.action != HOLD).action == GO
    watch = Watch([Watched(gate(on_inconclusive=policy), says(INCONCLUSIVE))], Times(0.0, 0.1))
    watch.start()
    assert until(watch, lambda progress: progress.action != HOLD).action == REVERT


def test_a_phase_with_a_length_is_watched_to_its_end() -> None:
    watch = Watch([Watched(gate(), says(PASS))], Times(0.2, 0.2))
    watch.start()
    assert until(watch, lambda progress: bool(progress.gates[0]["looks"])).action == HOLD
    done = until(watch, lambda progress: progress.action != HOLD)
    assert done.action == GO
    assert done.elapsed >= 0.2


def unused(_allowed: float) -> Look:
    return Look(NO_DATA, ["0 answers, at least 100"], unused=True)


@pytest.mark.parametrize(
    ("without_users", "change", "action", "lacks_users"),
    [
        ("hold", {}, HOLD, True),
        ("hold", {"on_inconclusive": "revert"}, REVERT, False),
        ("go", {}, GO, False),
        ("", {}, REVERT, False),
    ],
)
def test_a_phase_in_which_no_user_came(
    without_users: str, change: dict[str, str], action: str, lacks_users: bool
) -> None:
    watched = [Watched(gate(**change), unused), Watched(gate("p95"), says(PASS))]
    watch = Watch(watched, Times(0.05, 0.1), without_users=without_users)
    watch.start()
    time.sleep(0.2)
    done = watch.progress()
    assert (done.action, done.lacks_users) == (action, lacks_users)


def test_a_gate_that_failed_lacks_no_users() -> None:
    watched = [Watched(gate(), unused), Watched(gate("p95", failures_at_most=5), says(FAIL))]
    watch = Watch(watched, Times(0.02, 0.03), without_users="hold")
    watch.start()
    done = until(watch, lambda progress: progress.action != HOLD)
    assert done.action == REVERT


def test_a_failure_ends_it_at_once_and_tells_the_last_answers() -> None:
    watch = Watch([Watched(gate(), says(PASS, FAIL, PASS))], FOREVER)
    watch.start()
    done = until(watch, lambda progress: progress.action != HOLD)
    assert (done.action, list(done.reasons)) == (REVERT, ["errors: failures 1, at most 0"])
    assert done.gates[0]["answers"] == ["the last answer"]


def test_a_gate_that_is_not_enforced_only_tells() -> None:
    watch = Watch([Watched(gate(enforce=False), says(FAIL)), Watched(gate("p95"), says(PASS))], Times(0.05, 0.05))
    watch.start()
    done = until(watch, lambda progress: progress.action != HOLD)
    assert done.action == GO
    assert done.reasons[0].startswith("errors (not enforced): ")


def test_a_gate_without_data_is_watched_for_longer_and_then_reverts() -> None:
    watch = Watch([Watched(gate(), says(NO_DATA))], Times(0.05, 0.3))
    watch.start()
    assert until(watch, lambda progress: progress.elapsed >= 0.1).action == HOLD
    done = until(watch, lambda progress: progress.action != HOLD)
    assert done.action == REVERT
    assert done.elapsed >= 0.3


def test_a_person_who_does_not_come_is_not_waited_for_without_end() -> None:
    watch = Watch([Watched(gate(on_inconclusive="hold"), says(NO_DATA))], Times(0.05, 0.2))
    watch.start()
    done = until(watch, lambda progress: progress.action != HOLD)
    assert (done.action, done.reasons[-1]) == (REVERT, "nobody decided in time")


def test_a_gate_that_is_slow_delays_no_other() -> None:
    def slow(_allowed: float) -> Look:
        time.sleep(30)
        raise AssertionError

    watch = Watch([Watched(gate("slow"), slow), Watched(gate(), says(FAIL))], FOREVER)
    watch.start()
    assert until(watch, lambda progress: progress.action != HOLD).action == REVERT


def test_a_gate_that_breaks_is_an_error_and_told() -> None:
    def broken(_allowed: float) -> Look:
        raise KeyError("nothing")

    watch = Watch([Watched(gate(), broken)], FOREVER)
    watch.start()
    done = until(watch, lambda progress: progress.action != HOLD)
    assert done.action == REVERT
    assert done.gates[0]["looks"] == {ERROR: 4}
    assert done.gates[0]["words"] == ["the gate broke: KeyError: 'nothing'"]


def test_a_pass_of_long_ago_does_not_end_a_phase_while_the_next_look_still_waits() -> None:
    watch = Watch([Watched(gate(), hangs_later())], Times(0.1, 0.1))
    watch.start()
    waits = until(watch, lambda progress: progress.elapsed >= 0.2)
    assert (waits.action, list(waits.reasons)) == (HOLD, ["errors: its last look is not over yet"])
    done = until(watch, lambda progress: progress.action != HOLD)
    assert (done.action, list(done.reasons)) == (REVERT, ["errors: failures 1, at most 0"])


def test_gates_whose_looks_last_longer_than_their_interval_end_a_phase() -> None:
    def slow(_allowed: float) -> Look:
        time.sleep(0.06)
        return Look(PASS, [])

    def later(allowed: float) -> Look:
        time.sleep(0.03)
        return slow(allowed)

    watch = Watch([Watched(gate(), slow), Watched(gate("p95"), later)], Times(0.2, 0.4))
    watch.start()
    done = until(watch, lambda progress: progress.action != HOLD)
    assert done.action == GO
    assert done.elapsed < 0.6


def test_a_gate_that_lacks_users_is_not_content_while_a_look_of_another_one_is_overdue() -> None:
    watch = Watch(
        [Watched(gate(), unused), Watched(gate("site"), hangs_later())], Times(0.1, 0.1), without_users="hold"
    )
    watch.start()
    waits = until(watch, lambda progress: progress.elapsed >= 0.2)
    assert (waits.action, waits.lacks_users) == (HOLD, False)
    assert until(watch, lambda progress: progress.action != HOLD).action == REVERT


def test_a_gate_that_only_tells_is_not_waited_for() -> None:
    ends = threading.Event()

    def hangs(_allowed: float) -> Look:
        ends.wait(5)
        return Look(FAIL, [])

    watch = Watch([Watched(gate(enforce=False), hangs), Watched(gate("p95"), says(PASS))], Times(0.1, 0.1))
    watch.start()
    assert until(watch, lambda progress: progress.action != HOLD).action == GO
    ends.set()


def test_secrets_are_taken_out_of_what_a_person_is_told() -> None:
    def tells(_allowed: float) -> Look:
        return Look(FAIL, ["body has hidden-value"], ["web-1: 500, body: postgres://shop:hidden-value@db1"])

    watch = Watch([Watched(gate(), tells)], FOREVER, hide=Masking(["hidden-value"]))
    watch.start()
    told = until(watch, lambda progress: progress.action != HOLD).gates[0]
    assert told["words"] == ["body has ********"]
    assert told["answers"] == ["web-1: 500, body: postgres://shop:********@db1"]


def test_a_watch_that_is_stopped_looks_no_more() -> None:
    watch = Watch([Watched(gate(), says(PASS))], FOREVER)
    watch.start()
    until(watch, lambda progress: bool(progress.gates[0]["looks"]))
    watch.stop()
    time.sleep(0.05)
    before = watch.progress().gates[0]["looks"]
    time.sleep(0.1)
    assert watch.progress().gates[0]["looks"] == before


def test_without_a_look_there_is_no_data() -> None:
    watch = Watch([Watched(gate(), says(PASS))], FOREVER)
    assert watch.progress().gates[0]["verdict"] == NO_DATA


@pytest.mark.parametrize("policy", ["revert", "hold"])
def test_a_first_look_that_lasts_longer_than_its_phase_is_waited_for(policy: str) -> None:
    ends = threading.Event()

    def slow(_allowed: float) -> Look:
        ends.wait(5)
        return Look(PASS, [])

    watch = Watch([Watched(gate(on_inconclusive=policy), slow)], Times(0.05, 60.0))
    watch.start()
    waits = until(watch, lambda progress: progress.elapsed >= 0.1)
    assert (waits.action, waits.gates[0]["looks"]) == (HOLD, {})
    assert not any("a person must decide" in reason for reason in waits.reasons)
    ends.set()
    assert until(watch, lambda progress: progress.action != HOLD).action == GO
