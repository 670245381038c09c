# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans: for every state and traffic pointer, which slot gets which release."""

from __future__ import annotations

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import BadInput
from ansible_collections.vitalops.rollout.plugins.module_utils._state import plan
from ansible_collections.vitalops.rollout.plugins.module_utils._state.state import SlotRecord, State

R1 = {"id": "1.0.0-aaa", "version": "1.0.0", "digest": "sha256:1", "artefact": "a"}
R2 = {"id": "1.1.0-bbb", "version": "1.1.0", "digest": "sha256:2", "artefact": "a"}
R3 = {"id": "1.2.0-ccc", "version": "1.2.0", "digest": "sha256:3", "artefact": "a"}


def state(live: str | None = None, blue: dict[str, str] | None = None, green: dict[str, str] | None = None) -> State:
    slots = {
        "blue": SlotRecord(blue, "2026-01-01T00:00:00Z", "kim") if blue else None,
        "green": SlotRecord(green, "2026-01-01T00:00:00Z", "kim") if green else None,
    }
    return State("shop", "staging", live=live, slots=slots)


@pytest.mark.parametrize(
    ("known", "pointer", "release", "slot", "previous", "converge"),
    [
        (state(), None, R1, "blue", None, False),
        (state(), "blue", R1, "green", "blue", False),
        (state("blue", R1), "blue", R2, "green", "blue", False),
        (state("green", R1, R2), "green", R3, "blue", "green", False),
        (state("green", R1, R2), "green", R1, "blue", "green", False),
        (state("green", R1, R2), "green", R2, "green", "green", True),
    ],
)
def test_deploy(
    known: State, pointer: str | None, release: dict[str, str], slot: str, previous: str | None, converge: bool
) -> None:
    made = plan.deploy(known, pointer, release)
    assert (made.slot, made.previous_slot, made.converge, made.release) == (slot, previous, converge, release)
    assert made.moves is (previous is not None and previous != slot)
    assert made.steps


def test_deploy_refuses_a_lost_pointer() -> None:
    with pytest.raises(BadInput, match="disagree"):
        plan.deploy(state("blue", R1, R2), None, R3)


def test_a_deploy_goes_forward_from_a_slot_that_was_kept_because_nothing_else_answered() -> None:
    made = plan.deploy(state("blue", R1, R2), "green", R3)
    assert (made.slot, made.previous_slot, made.converge, made.kept_release_id) == ("blue", "green", False, R1["id"])
    assert "never confirmed" in made.steps[0]


def test_the_idle_slot_is_retired_and_the_live_one_stays() -> None:
    made = plan.retire(state("green", R1, R2), "green")
    assert (made.operation, made.slot, made.release, made.moves) == ("retire", "blue", R1, False)
    with pytest.raises(BadInput, match="no idle slot"):
        plan.retire(state("blue", R1, None), "blue")
    with pytest.raises(BadInput, match="disagree"):
        plan.retire(state("green", R1, R2), "blue")


def test_the_plan_names_what_is_replaced_and_what_stays_warm() -> None:
    text = " ".join(plan.deploy(state("green", R1, R2), "green", R3).steps)
    assert "replaces 1.0.0-aaa" in text
    assert "Keep 1.1.0-bbb warm in slot green" in text


def test_roll_back_goes_to_the_release_before() -> None:
    made = plan.roll_back(state("green", R1, R2), "green")
    assert (made.slot, made.release, made.previous_slot, made.previous_release) == ("blue", R1, "green", R2)


@pytest.mark.parametrize("pointer", ["green", None])
def test_roll_back_of_what_was_never_confirmed_or_got_lost_returns_to_the_recorded_slot(pointer: str | None) -> None:
    made = plan.roll_back(state("blue", R1, R2), pointer)
    assert (made.slot, made.release, made.previous_slot, made.converge) == ("blue", R1, pointer, False)


def test_a_roll_back_of_a_deploy_that_is_undone_moves_nothing_and_says_how_to_go_on() -> None:
    made = plan.roll_back(state("green", R1, R2), "green", undone=True)
    assert (made.slot, made.release, made.converge, made.moves) == ("green", R2, True, False)
    assert f"users are where they were: {R2['id']} in slot green" in made.steps[0]


def test_a_second_roll_back_in_a_row_changes_nothing() -> None:
    rolled_back = (state("blue", R1, R2))._replace(
        history=({"operation": "roll_back", "outcome": "confirmed"}, {"operation": "deploy", "outcome": "refused"}),
    )
    made = plan.roll_back(rolled_back, "blue")
    assert (made.operation, made.slot, made.release, made.converge) == ("roll_back", "blue", R1, True)


def test_a_deploy_knows_which_confirmed_release_a_refusal_must_bring_back() -> None:
    assert plan.deploy(state("green", R1, R2), "green", R3).kept_release_id == "1.0.0-aaa"
    assert plan.deploy(state("blue", R1), "blue", R2).kept_release_id is None
    assert plan.resume(state("green", R1, R2), "blue", R3).kept_release_id == "1.0.0-aaa"
    assert plan.resume(state("blue", R1), "green", R2).kept_release_id is None


@pytest.mark.parametrize(
    ("known", "pointer", "message"),
    [(state(), None, "no live release"), (state("blue", R1), "blue", "no earlier release is kept")],
)
def test_roll_back_without_a_target_is_refused(known: State, pointer: str | None, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        plan.roll_back(known, pointer)
