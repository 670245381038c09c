# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every combination of verdicts, limits and policies has one decision; none goes on without a pass."""

from __future__ import annotations

import collections
import itertools
import typing as t

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._gates import decision
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.decision import (
    GO,
    HOLD,
    REVERT,
    AtMost,
    Decision,
    Gate,
    Looks,
    Times,
    decide,
    decide_watch,
    is_late,
)
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.verdict import (
    ERROR,
    FAIL,
    INCONCLUSIVE,
    NO_DATA,
    PASS,
    SEVERITY,
)


def looks(history: t.Sequence[str]) -> Looks:
    """Looks that ended with these verdicts, oldest first."""
    return Looks(collections.Counter(history), history[-1] if history else "")


HISTORIES = [history for length in range(4) for history in itertools.product(SEVERITY, repeat=length)]


@pytest.mark.parametrize("policy", decision.POLICIES)
@pytest.mark.parametrize(
    "at_most", [AtMost(), AtMost(1, 1, 1), AtMost(0, 0, 0), AtMost(2, 0, 1), AtMost(None, None, None)]
)
def test_every_history_of_a_gate_has_the_decision_that_its_limits_and_its_policy_say(
    policy: str, at_most: AtMost
) -> None:
    for history, over, may_extend in itertools.product(HISTORIES, (False, True), (False, True)):
        gate = Gate("errors", looks(history), at_most, policy)
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
        gates = [Gate(f"gate {number}", looks(history)) for number, history in enumerate(histories)]
        alone = [decide([gate], over=over, may_extend=may_extend) for gate in gates]
        together = decide(gates, over=over, may_extend=may_extend)
        assert together.action == max((one.action for one in alone), key=decision.ACTIONS.index)
        assert together.reasons == [reason for one in alone for reason in one.reasons]


def test_a_gate_that_is_not_enforced_is_told_and_decides_nothing() -> None:
    for history in HISTORIES:
        measured = Gate("latency", looks(history), AtMost(0, 0, 0), REVERT)
        found = decide([Gate("errors", looks([PASS])), measured._replace(enforce=False)], over=True)
        alone = decide([measured], over=True)
        assert found.action == GO
        assert found.reasons == [why.replace("latency", "latency (not enforced)", 1) for why in alone.reasons]
        assert bool(alone.reasons) == (alone.action != GO)


def test_a_gate_that_only_measures_has_a_look_before_its_phase_ends() -> None:
    passed, measures = Gate("errors", looks([PASS])), Gate("latency", looks([]), enforce=False)
    assert decide([passed, measures], over=True, may_extend=True).action == HOLD
    for policy in decision.POLICIES:
        late = measures._replace(on_inconclusive=policy)
        assert decide([passed, late], over=True, may_extend=False).action == GO
    for verdict in SEVERITY:
        seen = measures._replace(looks=looks([verdict]))
        assert decide([passed, seen], over=True, may_extend=True).action == GO
    assert decide([passed._replace(looks=looks([FAIL])), measures], over=True, may_extend=True).action == REVERT


@pytest.mark.parametrize("policy", decision.POLICIES)
def test_too_few_users_stop_what_waits_for_them_unless_somebody_says_otherwise(policy: str) -> None:
    """Where users are missing, the word of the caller counts; where anything else is wrong, that does."""
    for history, without_users in itertools.product(HISTORIES, ("", HOLD, GO)):
        gate = Gate("errors", looks(history), AtMost(0, 0, None), policy, without_users=without_users)
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
        found = decide([Gate("errors", looks(history), endless, policy)], over=True, may_extend=True)
        assert (found.action == GO) == (history[-1:] == (PASS,))


@pytest.mark.parametrize(
    ("gate", "reason"),
    [
        (Gate("errors", looks([FAIL, PASS])), "errors: failures 1, at most 0"),
        (Gate("errors", looks([ERROR] * 4)), "errors: errors 4, at most 3"),
        (
            Gate("errors", looks([FAIL, *[NO_DATA] * 4]), AtMost(0, 3, 3)),
            "errors: failures 1, at most 0; looks without data 4, at most 3",
        ),
        (Gate("errors", looks([])), "errors: no_data when its time was over"),
        (
            Gate("errors", looks([INCONCLUSIVE]), on_inconclusive=HOLD),
            "errors: inconclusive when its time was over, a person must decide: confirm or roll_back",
        ),
        (
            Gate("errors", looks([INCONCLUSIVE]), on_inconclusive=REVERT),
            "errors: inconclusive when its time was over, it says revert then",
        ),
    ],
)
def test_the_reason_says_what_was_seen_and_what_is_allowed(gate: Gate, reason: str) -> None:
    assert decide([gate], over=True).reasons == [reason]


def test_a_phase_without_gates_goes_on_when_its_time_is_over() -> None:
    assert decide([], over=False).action == HOLD
    assert decide([], over=True) == Decision(GO, [])


@pytest.mark.parametrize("times", [Times(0.0, 5.0), Times(10.0, 10.0), Times(10.0, 20.0)])
@pytest.mark.parametrize("policy", decision.POLICIES)
@pytest.mark.parametrize("without_users", ["", HOLD, GO])
def test_a_watch_ends_and_goes_on_only_when_every_look_that_began_in_time_is_over(
    times: Times, policy: str, without_users: str
) -> None:
    endless = AtMost(None, None, None)
    for history, late, enforce in itertools.product(HISTORIES, (False, True), (False, True)):
        if without_users and not history:  # that users are missing is what a look has shown
            continue
        gate = Gate("errors", looks(history), endless, policy, enforce, without_users, late)
        for elapsed in (0.0, 4.0, 5.0, 10.0, 12.0, 20.0):
            over, may_extend = elapsed >= times.seconds, elapsed < times.most
            found = decide_watch([gate], elapsed, times)
            # A phase without a length lasts until its gates have passed.
            asked = gate._replace(on_inconclusive="extend") if may_extend and not times.seconds else gate
            usual = decide([asked], over=over, may_extend=may_extend)
            content = usual.action == GO or found.lacks_users
            if late and enforce and usual.action == GO:
                assert found == Decision(HOLD, [*usual.reasons, "errors: its last look is not over yet"])
            elif over and not may_extend and usual.action == HOLD and not (without_users == HOLD and enforce):
                assert found == Decision(REVERT, [*usual.reasons, "nobody decided in time"])
            elif not (late and enforce and over and without_users == HOLD):
                assert found[:2] == usual[:2]
            assert found.action != GO or content
            assert found.action != HOLD or not over or may_extend or found.lacks_users or late, "it has no end"
            assert not found.lacks_users or (over and without_users == HOLD and enforce and not late)


@pytest.mark.parametrize(
    ("since", "over", "now", "late"),
    [
        (None, 10.0, 99.0, False),
        (8.0, 10.0, 10.0, False),
        (8.0, 10.0, 10.1, True),
        (9.9, 10.0, 12.0, True),
        (10.0, 10.0, 99.0, False),
    ],
)
def test_a_look_is_late_when_it_began_in_time_and_lasts_longer_than_an_interval(
    since: float | None, over: float, now: float, late: bool
) -> None:
    assert is_late(since, over, now, 2.0) == late
