# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of cases has everything that was promised, and a choice of them is fair and repeatable."""

from __future__ import annotations

import pytest
from ansible_collections.vitalops.rollout.tests.faults import cases
from ansible_collections.vitalops.rollout.tests.faults.cases import Case


def test_every_step_meets_every_fault_at_every_point() -> None:
    met = {(case.step, case.point, case.fault) for case in cases.every()}
    assert met == {(step, point, fault) for step in cases.ORDER for point in cases.POINTS for fault in cases.FAULTS}


def test_there_are_enough_cases_and_no_case_twice() -> None:
    ids = [case.id for case in cases.every()]
    assert len(ids) == len(set(ids)) >= 120


@pytest.mark.parametrize("step", ["begin", "arm", "switch", "workers", "confirm"])
def test_both_verbs_and_both_hosts_take_their_turn_at_a_step(step: str) -> None:
    turns = {(case.verb, case.host[-1]) for case in cases.every() if case.step == step}
    assert turns == {(verb, number) for verb in ("deploy", "roll_back") for number in "12"}


def test_only_a_deploy_stages_and_only_a_roll_back_wakes() -> None:
    assert {case.verb for case in cases.every() if case.step == "stage"} == {"deploy"}
    assert {case.verb for case in cases.every() if case.step == "wake"} == {"roll_back"}


def test_deploys_and_roll_backs_take_turns_so_that_nothing_must_be_set_up_in_between() -> None:
    verbs = [case.verb for case in cases.every()]
    shorter = min(verbs.count("deploy"), verbs.count("roll_back"))
    assert verbs[: 2 * shorter] == ["deploy", "roll_back"] * shorter


@pytest.mark.parametrize("seed", range(20))
def test_a_choice_of_25_has_every_fault_and_every_step(seed: int) -> None:
    chosen = cases.choose(seed, 25)
    assert len({case.id for case in chosen}) == 25
    assert {case.fault for case in chosen} == set(cases.FAULTS)
    assert {case.step for case in chosen} == set(cases.ORDER)
    assert {(case.step, case.point) for case in chosen} == {(step, at) for step in cases.ORDER for at in cases.POINTS}


def test_the_same_seed_gives_the_same_choice_and_another_one_another() -> None:
    assert cases.choose(7, 25) == cases.choose(7, 25)
    assert cases.choose(7, 25) != cases.choose(8, 25)


def test_a_choice_is_never_longer_than_what_there_is() -> None:
    assert len(cases.choose(1, 10_000)) == len(cases.every())


@pytest.mark.parametrize(
    ("step", "host", "fault", "victim"),
    [
        ("switch", "lb2", "KILL", "controller"),
        ("switch", "lb2", "reboot", "lb2"),
        ("switch", "lb2", "haproxy", "lb2"),
        ("switch", "lb2", "dockerd", "app2"),
        ("workers", "app1", "haproxy", "lb1"),
        ("workers", "app1", "dockerd", "app1"),
        ("workers", "app1", "disk", "app1"),
    ],
)
def test_a_fault_strikes_where_its_victim_runs(step: str, host: str, fault: str, victim: str) -> None:
    assert Case("deploy", step, "between", fault, host).victim == victim
