# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What users get decides: too many errors or too slow is found, too little is no pass, a quiet night proves nothing."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import CommandFailed
from ansible_collections.vitalops.rollout.plugins.module_utils._gates import specification
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.look import Look
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.traffic import (
    Slots,
    Tally,
    TrafficSampler,
    quantile,
    since_then,
    slower,
)
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.verdict import (
    ERROR,
    FAIL,
    INCONCLUSIVE,
    NO_DATA,
    PASS,
)

ERRORS = {"at_most": {"error_share": "1 %"}, "min_samples": 100}
WORSE = {"worse_than_live_by": {"error_share": "0.5 %"}, "min_samples": 100}
SLOW = {"at_most": {"p95": "200 ms"}, "min_samples": 100}
SLOWER = {"worse_than_live_by": {"p95": "20 %"}, "min_samples": 100}


class Users:
    """What both slots have answered so far; HAProxy counts from its own start."""

    def __init__(self, **live: t.Any) -> None:
        self.slots = {"blue": Tally(), "green": Tally()}
        self.get("blue", **{"answers": 10_000, "errors": 10, "took": 50, **live})

    def get(self, slot: str, answers: int, errors: int = 0, took: int = 50, slow: int = 0, **more: int) -> None:
        """*more*: refused (4xx), lost (connection errors)."""
        before = self.slots[slot]
        times = dict(before.times)
        times[took] = times.get(took, 0) + answers - slow
        times[2000] = times.get(2000, 0) + slow
        self.slots[slot] = Tally(
            before.responses + answers,
            before.responses_4xx + more.get("refused", 0),
            before.responses_5xx + errors,
            before.connection_errors + more.get("lost", 0),
            times,
        )

    def watched(self, gate: dict[str, t.Any], since: Tally | None = None, **slots: t.Any) -> TrafficSampler:
        told = {"bake": [{"name": "users", "type": "traffic", **gate}]}
        among = Slots(**{"candidate": "green", "live": "blue", **slots})
        return TrafficSampler(specification.read(told)[0], lambda: self.slots, among, since=since)


def words(look: Look) -> str:
    return "; ".join(look.words)


@pytest.mark.parametrize("gate", [ERRORS, WORSE, SLOW, SLOWER])
def test_a_release_that_is_as_good_passes_with_enough_answers(gate: dict[str, t.Any]) -> None:
    users = Users()
    look = users.watched(gate)
    users.get("green", 90)
    assert look(1.0).verdict == INCONCLUSIVE
    users.get("green", 30)
    assert look(1.0).verdict == PASS


@pytest.mark.parametrize("gate", [ERRORS, WORSE, SLOW, SLOWER])
def test_without_traffic_nothing_is_proven(gate: dict[str, t.Any]) -> None:
    look = Users().watched(gate)
    assert [look(1.0).verdict for _look in range(3)] == [NO_DATA] * 3


@pytest.mark.parametrize("gate", [ERRORS, WORSE])
def test_errors_are_found(gate: dict[str, t.Any]) -> None:
    users = Users()
    look = users.watched(gate)
    users.get("green", 120, errors=8)
    found = look(1.0)
    assert found.verdict == FAIL
    assert "error_share 6.67 %" in words(found)
    assert "at most" in words(found)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(
    ("name", "more", "seen"),
    [
        ("response_4xx_share", {"refused": 60}, "response_4xx_share 20 %, live 0 %, at most 1 % more"),
        ("connection_error_share", {"lost": 60}, "connection_error_share 16.7 %, live 0 %, at most 1 % more"),
        ("p50", {"took": 120}, "p50 120 ms, live 50 ms, at most 20 % more"),
        ("p95", {"slow": 60}, "p95 2 s, live 50 ms, at most 20 % more"),
    ],
)
def test_whatever_is_worse_than_the_live_slot_is_found(
    name: str, more: dict[str, int], seen: str, shared: bool
) -> None:
    gate = {"worse_than_live_by": {name: "20 %" if name.startswith("p") else "1 %"}, "min_samples": 100}
    for worse in (True, False):
        users = Users()
        look = users.watched(gate, shared=shared)
        users.get("blue", 300)
        users.get("green", 300, **(more if worse else {}))
        found = look(1.0)
        assert found.verdict == (FAIL if worse else PASS)
        assert (seen in words(found)) is worse


@pytest.mark.parametrize("gate", [SLOW, SLOWER])
def test_slowness_is_found(gate: dict[str, t.Any]) -> None:
    users = Users()
    look = users.watched(gate)
    users.get("green", 120, slow=30)
    found = look(1.0)
    assert found.verdict == FAIL
    assert "p95 2 s" in words(found)


def test_errors_that_begin_late_are_found_in_spite_of_all_that_went_well() -> None:
    users = Users()
    look = users.watched(ERRORS)
    for _look in range(20):
        users.get("green", 500)
        assert look(1.0).verdict in (PASS, INCONCLUSIVE)
    users.get("green", 100, errors=20)
    assert look(1.0).verdict == FAIL


def test_a_share_above_its_limit_is_no_pass_even_without_evidence_against_it() -> None:
    users = Users()
    look = users.watched(ERRORS)
    users.get("green", 150, errors=2)
    assert look(1.0).verdict == INCONCLUSIVE


def test_a_limit_of_nothing_allows_nothing() -> None:
    users = Users()
    look = users.watched({"at_most": {"error_share": "0 %"}, "min_samples": 1})
    users.get("green", 50, errors=1)
    assert look(1.0).verdict == FAIL


def test_what_makes_both_slots_slow_is_nobodys_fault_while_they_share_the_traffic() -> None:
    users = Users()
    look = users.watched(SLOWER, shared=True)
    for _look in range(10):
        users.get("blue", 400, slow=100)
        users.get("green", 100, slow=25)
        assert look(1.0).verdict != FAIL


def test_a_slow_candidate_is_found_beside_a_live_slot_that_is_not() -> None:
    users = Users()
    look = users.watched(SLOWER, shared=True)
    verdicts = []
    for _look in range(10):
        users.get("blue", 400)
        users.get("green", 100, slow=25)
        verdicts.append(look(1.0).verdict)
    assert verdicts[-1] == FAIL


def test_a_live_slot_that_is_worse_than_the_candidate_accuses_it_of_nothing() -> None:
    users = Users(errors=900)
    look = users.watched(WORSE)
    users.get("green", 300, errors=3)
    assert look(1.0).verdict == PASS


def test_a_live_slot_that_nobody_used_is_nothing_to_compare_with() -> None:
    users = Users(answers=40, errors=0)
    look = users.watched(WORSE)
    users.get("green", 500)
    found = look(1.0)
    assert found.verdict == NO_DATA
    assert "the live slot gave only 40 answers, at least 100: nothing to compare with" in words(found)


def test_where_nothing_can_be_compared_a_limit_that_stands_for_itself_is_enough() -> None:
    users = Users(answers=40, errors=0)
    look = users.watched({**WORSE, **ERRORS})
    users.get("green", 500)
    found = look(1.0)
    assert found.verdict == PASS
    assert "nothing to compare with" in words(found)


def test_times_that_haproxy_has_forgotten_are_nothing_to_compare_with() -> None:
    users = Users()
    users.slots["blue"] = users.slots["blue"]._replace(times={})
    look = users.watched(SLOWER)
    users.get("green", 500)
    assert look(1.0).verdict == NO_DATA


def test_at_a_first_rollout_a_comparison_proves_nothing() -> None:
    users = Users()
    look = users.watched(WORSE, live=None)
    users.get("green", 500, errors=500)
    assert look(1.0).verdict == NO_DATA


def test_a_number_that_may_be_chance_has_a_word() -> None:
    users = Users()
    look = users.watched(WORSE)
    users.get("green", 120, errors=1)
    assert "(what is more may be chance)" in words(look(1.0))
    users = Users()
    look = users.watched(SLOWER)
    users.get("green", 120, slow=7)
    assert words(look(1.0)).endswith("p95 2 s, live 50 ms, at most 20 % more (what is more may be chance)")


def test_at_a_first_rollout_only_limits_count_that_need_no_live_slot() -> None:
    users = Users()
    look = users.watched({**ERRORS, **WORSE}, live=None)
    users.get("green", 500)
    assert look(1.0).verdict == PASS
    assert "live" not in words(look(1.0))


def test_what_the_slot_answered_before_the_watch_is_of_another_release() -> None:
    users = Users()
    users.get("green", 5000, errors=5000)
    look = users.watched(ERRORS)
    users.get("green", 200)
    assert look(1.0).verdict == PASS


def test_a_reload_of_haproxy_begins_its_counters_anew() -> None:
    users = Users()
    look = users.watched(ERRORS)
    users.get("green", 200)
    assert look(1.0).verdict == PASS
    users.slots = {"blue": Tally(), "green": Tally()}
    users.get("green", 100)
    found = look(1.0)
    assert found.verdict == PASS
    assert found.words[0] == "300 answers"


def test_a_haproxy_that_does_not_answer_is_an_error_and_no_exception() -> None:
    users = Users()
    look = users.watched(ERRORS)

    def silent() -> t.Mapping[str, Tally]:
        raise CommandFailed("HAProxy does not answer on its admin socket.")

    look._read = silent
    assert look(1.0) == Look(ERROR, ["HAProxy does not answer on its admin socket."])


def test_times_are_told_to_two_digits() -> None:
    times = {10: 50, 50: 44, 230: 4, 1200: 2}
    assert [quantile(times, share) for share in (0.5, 0.94, 0.95, 0.99, 1.0)] == [0.01, 0.05, 0.23, 1.2, 1.2]
    assert quantile({}, 0.95) is None
    assert tuple(slower(times, 0.2)) == (100, 6)
    assert tuple(slower(times, 0.23)) == (100, 2)


def test_only_what_came_since_the_last_look_counts() -> None:
    before = Tally(10, 1, 2, 3, {5: 4})
    assert since_then(Tally(15, 1, 4, 3, {5: 6, 7: 3}), before) == Tally(5, 0, 2, 0, {5: 2, 7: 3})
    assert since_then(Tally(4, 0, 1, 0, {5: 1}), before) == Tally(4, 0, 1, 0, {5: 1})


def test_a_counter_that_went_back_tells_that_all_of_them_began_anew() -> None:
    before = Tally(100_000, 9, 5_000, 3, {5: 90_000, 9000: 5_000})
    now = Tally(110_000, 12, 110, 4, {5: 1_000, 9000: 10})
    assert since_then(now, before) == now
    # A person has cleared the counters, and not the table: what it tells of probes and times goes on.
    probed = before._replace(probes={2: 3_000})
    cleared = Tally(1_000, 0, 450, 0, {5: 90_500, 9000: 5_500}, {2: 3_002})
    assert since_then(cleared, probed) == cleared._replace(times={5: 500, 9000: 500}, probes={2: 2})
    # A time that nothing took for a week is forgotten, and nothing else with it.
    rare = Tally(110_000, 12, 5_010, 4, {5: 99_000, 9000: 2})
    assert since_then(rare, before) == Tally(10_000, 3, 10, 1, {5: 9_000, 9000: 2})


def test_what_users_got_between_the_switch_and_the_watch_counts() -> None:
    users = Users()
    users.get("green", 5000, errors=5000)
    switched = users.slots["green"]
    users.get("green", 300, errors=60)
    look = users.watched(ERRORS, since=switched)
    found = look(1.0)
    assert found.verdict == FAIL
    assert found.words[0] == "300 answers"


class Probed:
    """A slot that gets probes; HAProxy tells an answer a moment before or after it tells that it was for a probe."""

    def __init__(self) -> None:
        self.tally = Tally()

    def __call__(self) -> dict[str, Tally]:
        return {"blue": Tally(), "green": self.tally}

    def answers(self, answers: int, probes: int, *, errors: int = 0, probe_errors: int = 0) -> None:
        before = self.tally
        good = before.probes.get(2, 0) + probes - probe_errors
        self.tally = before._replace(
            responses=before.responses + answers,
            responses_5xx=before.responses_5xx + errors,
            probes={2: good, 5: before.probes.get(5, 0) + probe_errors},
        )


def probed(slot: Probed) -> TrafficSampler:
    told = {"name": "users", "type": "traffic", **ERRORS}
    return TrafficSampler(specification.read({"bake": [told]})[0], slot, Slots("green", "blue"))


def test_a_night_in_which_only_gates_ask_proves_nothing_whatever_is_counted_first() -> None:
    slot = Probed()
    slot.answers(5000, 3)  # it has served before
    look = probed(slot)
    for answers, probes in ((3, 2), (0, 1), (2, 3), (1, 0), (0, 3), (3, 0)) * 50:
        slot.answers(answers, probes)
        found = look(1.0)
        assert found.verdict in (NO_DATA, INCONCLUSIVE), found
        assert found.unused
    assert found.words[0] in ("0 answers, at least 100", "1 answers, at least 100"), found


def test_what_gates_break_is_no_error_of_users_and_hides_none() -> None:
    slot = Probed()
    look = probed(slot)
    slot.answers(1050, 50, errors=50, probe_errors=50)
    assert look(1.0).verdict == PASS
    slot.answers(1000, 0, errors=200)
    assert look(1.0).verdict == FAIL


def test_a_reload_of_haproxy_is_no_user() -> None:
    slot = Probed()
    slot.answers(5000, 3000)
    look = probed(slot)
    slot.tally = Tally()
    assert look(1.0).verdict == NO_DATA
    slot.answers(4, 4)
    assert look(1.0).verdict == NO_DATA


def test_a_failure_names_the_instances_that_answered_with_errors() -> None:
    slot, told = Probed(), {"name": "users", "type": "traffic", **ERRORS}
    gate = specification.read({"bake": [told]})[0]
    look = TrafficSampler(gate, slot, Slots("green", "blue"), blame=lambda slow: [f"slow {slow}"])
    slot.answers(400, 0, errors=200)
    assert look(1.0).answers == ["slow False"]


@pytest.mark.parametrize(("errors", "expected"), [(0, ["slow True"]), (300, ["slow False"])])
def test_a_failure_of_times_alone_names_the_slowest_instances(errors: int, expected: list[str]) -> None:
    users = Users()
    told = {"name": "users", "type": "traffic", **SLOW, "at_most": {**SLOW["at_most"], **ERRORS["at_most"]}}
    gate = specification.read({"bake": [told]})[0]
    look = TrafficSampler(gate, lambda: users.slots, Slots("green", "blue"), blame=lambda slow: [f"slow {slow}"])
    users.get("green", 400, slow=300, errors=errors)
    assert look(1.0).answers == expected


def test_a_few_users_are_too_few_but_one_of_them_may_be_above_a_limit() -> None:
    users = Users()
    look = users.watched(ERRORS)
    users.get("green", 5)
    assert look(1.0).unused
    users.get("green", 5, errors=1)
    assert not look(1.0).unused
