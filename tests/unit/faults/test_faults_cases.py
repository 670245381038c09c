# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of cases has every step, point and fault together once, whichever verb it is; a choice is repeatable.

At steps that deploy and roll_back share, a fault meets a deploy at one point, and roll backs at the two others.
"""

from __future__ import annotations

import pytest
from ansible_collections.vitalops.rollout.tests.faults import cases
from ansible_collections.vitalops.rollout.tests.faults.cases import Case


def of(scenario: str) -> list[Case]:
    return [case for case in cases.every() if case.scenario == scenario]


def test_every_step_of_a_run_that_goes_well_meets_every_fault_at_every_point() -> None:
    met = {(case.step, case.point, case.fault) for case in of("plain")}
    steps = {*cases.STEPS["deploy"], *cases.STEPS["roll_back"]}
    assert met == {(step, point, fault) for step in steps for point in cases.POINTS for fault in cases.FAULTS}


@pytest.mark.parametrize(
    ("scenario", "steps"),
    [("refused", cases.REFUSED_STEPS), ("behind", ("adopt",)), ("shifted", ("shift",)), ("watched", ("watch",))],
)
def test_every_other_step_meets_every_fault_at_every_point_on_both_hosts(scenario: str, steps: tuple[str, ...]) -> None:
    found = of(scenario)
    met = {(case.step, case.point, case.fault) for case in found}
    assert met == {(step, point, fault) for step in steps for point in cases.POINTS for fault in cases.FAULTS}
    assert {(case.step, case.host[-1]) for case in found} == {(step, number) for step in steps for number in "12"}


def test_a_switch_is_taken_up_after_a_kill_before_the_confirmation() -> None:
    assert [(case.verb, case.fault) for case in of("resumed")] == [("deploy", "KILL")] * 3
    assert {case.step for case in of("resumed")} <= {"switch", "workers"}


def test_the_guard_itself_is_struck_in_its_revert_on_both_hosts() -> None:
    found = of("guard")
    assert {case.step for case in found} == {"revert"}
    assert {case.fault for case in found} == set(cases.GUARD_FAULTS)
    assert {case.point for case in found if case.fault == "KILL"} == set(cases.POINTS)
    assert {case.victim for case in found} == {"lb1", "lb2"}


def test_every_case_is_in_the_list_once_and_every_step_is_met() -> None:
    ids = [case.id for case in cases.every()]
    assert len(ids) == len(set(ids)) == 3 * 9 * 15 + 3 + 6
    assert {case.step for case in cases.every()} == set(cases.ORDER)


SHARED = ["begin", "arm", "switch", "workers", "confirm", "revert", "stop", "end"]


@pytest.mark.parametrize("step", SHARED)
def test_both_verbs_and_both_hosts_take_their_turn_at_a_step(step: str) -> None:
    turns = {(case.verb, case.host[-1]) for case in cases.every() if case.step == step}
    assert turns == {(verb, number) for verb in ("deploy", "roll_back") for number in "12"}


@pytest.mark.parametrize("step", SHARED)
@pytest.mark.parametrize("fault", cases.FAULTS)
def test_a_fault_meets_a_deploy_at_one_point_and_roll_backs_at_the_two_others(step: str, fault: str) -> None:
    found = [*of("plain"), *of("refused")]
    verbs = [case.verb for case in found if (case.step, case.fault) == (step, fault)]
    assert sorted(verbs) == ["deploy", "roll_back", "roll_back"]


def test_only_a_deploy_stages_withholds_and_lets_follow_and_only_a_roll_back_wakes() -> None:
    deploys = ("stage", "withhold", "adopt", "shift", "watch")
    assert {case.verb for case in cases.every() if case.step in deploys} == {"deploy"}
    assert {case.verb for case in cases.every() if case.step == "wake"} == {"roll_back"}


def test_no_roll_back_follows_another_one_while_there_are_deploys_so_that_nothing_must_be_set_up_in_between() -> None:
    verbs = [case.verb for case in cases.every()]
    last_deploy = len(verbs) - verbs[::-1].index("deploy")
    assert ("roll_back", "roll_back") not in set(zip(verbs[:last_deploy], verbs[1:last_deploy]))


def test_a_fleet_gets_the_roll_back_that_it_is_ready_for_and_else_a_deploy() -> None:
    queue = [
        Case("roll_back", "arm", "before", "KILL", "lb1"),
        Case("deploy", "arm", "before", "TERM", "lb1"),
        Case("roll_back", "arm", "before", "HUP", "lb1"),
    ]
    assert fault_of(cases.take(queue, may_roll_back=False)) == "TERM"
    assert fault_of(cases.take(queue, may_roll_back=True)) == "KILL"
    assert fault_of(cases.take(queue, may_roll_back=False)) == "HUP"  # there is nothing else left
    assert cases.take(queue, may_roll_back=False) is None


def test_a_fleet_with_one_application_host_leaves_what_needs_two_to_the_other_one() -> None:
    queue = [
        Case("deploy", "stage", "before", "KILL", "app2"),
        Case("deploy", "stage", "before", "reboot", "app1"),
        Case("deploy", "arm", "before", "dockerd", "lb1"),
        Case("deploy", "stage", "before", "TERM", "app1"),
    ]
    assert fault_of(cases.take(queue, may_roll_back=False, applications=1)) == "TERM"
    assert cases.take(queue, may_roll_back=False, applications=1) is None
    assert len(queue) == 3


def test_a_fleet_with_two_application_hosts_takes_first_what_no_other_one_can() -> None:
    queue = [
        Case("deploy", "arm", "before", "KILL", "lb1"),
        Case("deploy", "stage", "before", "TERM", "app2"),
    ]
    assert fault_of(cases.take(queue, may_roll_back=False)) == "TERM"
    assert fault_of(cases.take(queue, may_roll_back=False)) == "KILL"


def fault_of(case: Case | None) -> str:
    assert case is not None
    return case.fault


@pytest.mark.parametrize("seed", range(40))
def test_a_choice_of_25_has_every_fault_step_point_and_scenario(seed: int) -> None:
    chosen = cases.choose(seed, 25)
    assert len({case.id for case in chosen}) == 25
    assert {case.fault for case in chosen} == set(cases.FAULTS)
    assert {case.step for case in chosen} == set(cases.ORDER)
    assert {case.point for case in chosen} == set(cases.POINTS)
    assert {case.scenario for case in chosen} == set(cases.SCENARIOS)
    assert {case.verb for case in chosen} == set(cases.STEPS)


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
