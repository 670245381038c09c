# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every combination of verdicts, limits and policies has one decision; none goes on without a pass."""

from __future__ import annotations

import itertools

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._gates import decision
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.decision import (
    GO,
    HOLD,
    REVERT,
    AtMost,
    Gate,
    decide,
)
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.verdict import (
    ERROR,
    FAIL,
    INCONCLUSIVE,
    NO_DATA,
    PASS,
    SEVERITY,
)

HISTORIES = [history for length in range(4) for history in itertools.product(SEVERITY, repeat=length)]


@pytest.mark.parametrize("policy", decision.POLICIES)
@pytest.mark.parametrize(
    "at_most", [AtMost(), AtMost(1, 1, 1), AtMost(0, 0, 0), AtMost(2, 0, 1), AtMost(None, None, None)]
)
def test_every_history_of_a_gate_has_the_decision_that_its_limits_and_its_policy_say(
    policy: str, at_most: AtMost
) -> None:
    for history, over, may_extend in itertools.product(HISTORIES, (False, True), (False, True)):
        gate = Gate("errors", history, at_most, policy)
        limits = zip((FAIL, ERROR, NO_DATA), at_most)
        too_many = any(limit is not None and history.count(verdict) > limit for verdict, limit in limits)
        if too_many:
            expected = REVERT
        elif not over or (not history and may_extend):
            expected = HOLD
        elif history[-1:] == (PASS,):
            expected = GO
        elif policy == "extend":
            expected = HOLD if may_extend else REVERT
        else:
            expected = policy
        assert decide([gate], over=over, may_extend=may_extend).action == expected, (history, over, may_extend)


@pytest.mark.parametrize("over", [False, True])
@pytest.mark.parametrize("may_extend", [False, True])
def test_of_two_gates_the_worse_one_decides(over: bool, may_extend: bool) -> None:
    for histories in itertools.product([(), *((one,) for one in SEVERITY)], repeat=2):
        gates = [Gate(f"gate {number}", history) for number, history in enumerate(histories)]
        alone = [decide([gate], over=over, may_extend=may_extend) for gate in gates]
        together = decide(gates, over=over, may_extend=may_extend)
        assert together.action == max((one.action for one in alone), key=decision.ACTIONS.index)
        assert together.reasons == [reason for one in alone for reason in one.reasons]


def test_a_gate_that_is_not_enforced_is_told_and_decides_nothing() -> None:
    for history in HISTORIES:
        measured = Gate("latency", history, AtMost(0, 0, 0), REVERT)
        found = decide([Gate("errors", [PASS]), measured._replace(enforce=False)], over=True)
        alone = decide([measured], over=True)
        assert found.action == GO
        assert found.reasons == [why.replace("latency", "latency (not enforced)", 1) for why in alone.reasons]
        assert bool(alone.reasons) == (alone.action != GO)


def test_a_gate_that_only_measures_has_a_look_before_its_phase_ends() -> None:
    passed, measures = Gate("errors", [PASS]), Gate("latency", [], enforce=False)
    assert decide([passed, measures], over=True, may_extend=True).action == HOLD
    for policy in decision.POLICIES:
        late = measures._replace(on_inconclusive=policy)
        assert decide([passed, late], over=True, may_extend=False).action == GO
    for verdict in SEVERITY:
        seen = measures._replace(verdicts=[verdict])
        assert decide([passed, seen], over=True, may_extend=True).action == GO
    assert decide([passed._replace(verdicts=[FAIL]), measures], over=True, may_extend=True).action == REVERT


@pytest.mark.parametrize("policy", decision.POLICIES)
def test_too_few_users_stop_what_waits_for_them_unless_somebody_says_otherwise(policy: str) -> None:
    """Where users are missing, the word of the caller counts; where anything else is wrong, that does."""
    for history, without_users in itertools.product(HISTORIES, ("", HOLD, GO)):
        gate = Gate("errors", history, AtMost(0, 0, None), policy, without_users=without_users)
        found = decide([gate], over=True).action
        usual = decide([gate._replace(without_users="")], over=True).action
        if FAIL in history or ERROR in history:
            expected = REVERT
        elif without_users == GO or (without_users == HOLD and policy != REVERT):
            expected = without_users
        else:
            expected = usual
        assert found == expected, (history, without_users)


@pytest.mark.parametrize("policy", decision.POLICIES)
def test_nothing_goes_on_without_a_pass(policy: str) -> None:
    endless = AtMost(99, 99, 99)
    for history in HISTORIES:
        found = decide([Gate("errors", history, endless, policy)], over=True, may_extend=True)
        assert (found.action == GO) == (history[-1:] == (PASS,))


@pytest.mark.parametrize(
    ("gate", "reason"),
    [
        (Gate("errors", [FAIL, PASS]), "errors: failures 1, at most 0"),
        (Gate("errors", [ERROR] * 4), "errors: errors 4, at most 3"),
        (
            Gate("errors", [FAIL, *[NO_DATA] * 4], AtMost(0, 3, 3)),
            "errors: failures 1, at most 0; looks without data 4, at most 3",
        ),
        (Gate("errors", []), "errors: no_data when its time was over"),
        (
            Gate("errors", [INCONCLUSIVE], on_inconclusive=HOLD),
            "errors: inconclusive when its time was over, a person must decide: confirm or roll_back",
        ),
        (
            Gate("errors", [INCONCLUSIVE], on_inconclusive=REVERT),
            "errors: inconclusive when its time was over, it says revert then",
        ),
    ],
)
def test_the_reason_says_what_was_seen_and_what_is_allowed(gate: Gate, reason: str) -> None:
    assert decide([gate], over=True).reasons == [reason]


def test_a_phase_without_gates_goes_on_when_its_time_is_over() -> None:
    assert decide([], over=False).action == HOLD
    assert decide([], over=True) == (GO, [])
