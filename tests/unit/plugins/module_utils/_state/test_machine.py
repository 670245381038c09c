# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps of a run: none is taken on ground that an earlier one did not lay, and each may be taken twice."""

from __future__ import annotations

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._state import machine
from ansible_collections.vitalops.rollout.plugins.module_utils._state.journal import Entry
from ansible_collections.vitalops.rollout.plugins.module_utils._state.machine import ForbiddenStep, check_transition
from ansible_collections.vitalops.rollout.plugins.module_utils._state.run import Run

RUN = Run("shop-2", 2, "deploy", "kim", "command line", "1.1.0-bbb", "green", "blue")
OTHER = "shop-1"


def entry(step: str, phase: str = "end", outcome: str | None = "done", run: str = RUN.id, actor: str = "kim") -> Entry:
    return Entry(
        at="2026-11-21T17:20:03Z",
        boottime=100.0,
        boot_id="boot:1",
        host="lb1",
        run=run,
        epoch=2,
        operation="deploy",
        step=step,
        phase=phase,
        outcome=outcome if phase == "end" else None,
        actor=actor,
        source="command line",
        release="1.1.0-bbb",
        slot="green",
        previous="blue",
        detail=None,
    )


def allowed(last: Entry | None, step: str) -> bool:
    try:
        check_transition(last, RUN, step)
    except ForbiddenStep:
        return False
    return True


# What may follow when the last step of the same run ended well; "end" always may.
FOLLOWERS = {
    "begin": {"begin", "adopt", "arm", "revert", "drain"},
    "adopt": {"adopt", "arm", "revert", "drain"},
    "arm": {"arm", "shift", "switch", "revert", "drain"},
    "shift": {"shift", "switch", "revert", "drain"},
    "switch": {"switch", "confirm", "revert", "drain"},
    "confirm": {"confirm", "drain"},
    "revert": {"revert", "drain"},
    "drain": {"adopt", "arm", "confirm", "revert", "drain"},
    "end": {"revert", "drain"},
}
# The same when it was begun only, or failed: nothing is built on it.
REPEATS = {
    "begin": {"begin", "revert", "drain"},
    "adopt": {"adopt", "revert", "drain"},
    "arm": {"arm", "revert", "drain"},
    "shift": {"shift", "revert", "drain"},
    "switch": {"switch", "revert", "drain"},
    "confirm": {"confirm", "revert", "drain"},
    "revert": {"revert", "drain"},
    "drain": {"revert", "drain"},
    "end": {"revert", "drain"},
}


@pytest.mark.parametrize("last", machine.STEPS)
def test_what_may_follow_a_step_that_ended_well(last: str) -> None:
    found = {step for step in machine.STEPS if allowed(entry(last), step)}
    assert found == FOLLOWERS[last] | {"end"}


@pytest.mark.parametrize("last", machine.STEPS)
@pytest.mark.parametrize(("phase", "outcome"), [("begin", None), ("end", "failed")])
def test_what_may_follow_a_step_that_did_not_end_well(last: str, phase: str, outcome: str | None) -> None:
    found = {step for step in machine.STEPS if allowed(entry(last, phase, outcome), step)}
    assert found == REPEATS[last] | {"end"}


@pytest.mark.parametrize("last", [None, entry("arm", run=OTHER), entry("end", run=OTHER), entry("switch", run=OTHER)])
def test_a_run_begins_with_begin_whatever_another_run_did(last: Entry | None) -> None:
    assert {step for step in machine.STEPS if allowed(last, step)} == {"begin", "end"}


@pytest.mark.parametrize("step", machine.APPLICATION_STEPS)
@pytest.mark.parametrize("last", [None, entry("switch"), entry("stage", run=OTHER)])
def test_on_an_application_host_the_fence_alone_decides(last: Entry | None, step: str) -> None:
    assert allowed(last, step)


def test_a_run_that_the_guard_took_back_cannot_confirm() -> None:
    with pytest.raises(ForbiddenStep) as caught:
        check_transition(entry("revert", actor="guard"), RUN, "confirm")
    text = str(caught.value)
    assert "The step confirm of deploy shop-2 is not allowed now." in text
    assert "revert of this run (end, done) by guard at 2026-11-21T17:20:03Z" in text
    assert "switch of this run, ended well" in text
    assert "ansible-playbook vitalops.rollout.status -i INVENTORY" in text


def test_the_refusal_names_the_other_run_or_the_empty_journal() -> None:
    with pytest.raises(ForbiddenStep, match="arm of deploy shop-1"):
        check_transition(entry("arm", "begin", run=OTHER), RUN, "switch")
    with pytest.raises(ForbiddenStep, match="an empty journal"):
        check_transition(None, RUN, "switch")


def test_a_step_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ForbiddenStep, match="no step 'fly'"):
        check_transition(None, RUN, "fly")


def test_drains_and_application_steps_do_not_hide_where_a_run_stands() -> None:
    switched = entry("switch")
    aside = [entry("drain"), entry("workers"), entry("drain", "begin")]
    assert machine.standing([entry("arm"), switched, *aside]) is switched
    assert machine.standing(aside) is None
    assert not allowed(machine.standing([entry("confirm"), entry("drain")]), "revert")


def test_whatever_an_application_host_journals_says_nothing_about_traffic() -> None:
    """A host may be load balancer and application host at once: both write into one journal."""
    journaled = {"stage", "withhold", "empty", "wake", "stop", "workers", "retire"}
    assert journaled <= set(machine.APPLICATION_STEPS)
    assert all(machine.standing([entry("switch"), entry(step)]) == entry("switch") for step in journaled)
