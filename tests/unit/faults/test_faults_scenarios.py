# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of a scenario are told what makes it, and only they."""

from __future__ import annotations

import json

import pytest
from ansible_collections.vitalops.rollout.tests.faults import scenarios
from ansible_collections.vitalops.rollout.tests.faults.cases import Case
from ansible_collections.vitalops.rollout.tests.faults.looks import Look

PLAIN = Case("deploy", "switch", "after", "KILL", "lb1")
REFUSED = Case("deploy", "revert", "before", "KILL", "lb1", "refused")
RESUMED = PLAIN._replace(scenario="resumed")
SEEN = Look(boottime=1.0, boot="7", journal=(), lease={"id": "r1"})


def test_a_refused_run_asks_for_an_answer_that_never_comes() -> None:
    (_option, told) = scenarios.first(REFUSED)
    assert "no-such-release" in json.loads(told)["__rollout_verify"]["body"]
    assert scenarios.again(REFUSED, SEEN) == ()


def test_who_resumes_breaks_the_lease_of_the_dead_run_before_its_guard_fires() -> None:
    (_option, told) = scenarios.again(RESUMED, SEEN)
    assert json.loads(told)["rollout_recovery"] == "resume"
    assert json.loads(told)["rollout_break_lease"] == "r1"
    assert scenarios.guard(RESUMED, 12.0) > 12.0


def test_a_watched_run_bakes_behind_a_gate_that_finds_nothing_wrong() -> None:
    (_option, told) = scenarios.first(PLAIN._replace(step="watch", scenario="watched"))
    content = json.loads(told)
    assert content["rollout_bake_most_seconds"] > content["rollout_bake_seconds"] > 0
    assert [gate["type"] for gate in content["rollout_gates"]["bake"]] == ["traffic"]


def test_plain_runs_are_told_nothing_more() -> None:
    assert (scenarios.first(PLAIN), scenarios.again(PLAIN, SEEN), scenarios.guard(PLAIN, 12.0)) == ((), (), 12.0)


@pytest.mark.parametrize(
    ("scenario", "host", "leader"), [("behind", "lb1", "lb2"), ("behind", "lb2", "lb1"), ("plain", "lb2", "lb1")]
)
def test_who_is_behind_does_not_lead(scenario: str, host: str, leader: str) -> None:
    assert scenarios.leader(PLAIN._replace(host=host, scenario=scenario)) == leader
