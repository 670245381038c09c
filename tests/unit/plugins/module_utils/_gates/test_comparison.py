# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking often makes no false alarm more likely; what is worse is found; what was not seen is no evidence.

How often is measured by simulation: make bench.
"""

from __future__ import annotations

import itertools
import math
import random

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import BadInput
from ansible_collections.vitalops.rollout.plugins.module_utils._gates import comparison
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.comparison import NOTHING, Comparison, Counts
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.verdict import FAIL, INCONCLUSIVE, NO_DATA, PASS


def binomial(requests: int, bad: int, share: float) -> float:
    return math.comb(requests, bad) * share**bad * (1 - share) ** (requests - bad)


def draw(chance: random.Random, requests: int, share: float) -> Counts:
    return Counts(requests, sum(chance.random() < share for _request in range(requests)))


@pytest.mark.parametrize("before", [Counts(200, 0), Counts(200, 4), Counts(50, 25)])
@pytest.mark.parametrize("floor", [0.0, 0.005, 0.1])
@pytest.mark.parametrize(("live_share", "excess"), [(0.0, 1.0), (0.01, 0.0), (0.01, 1.0), (0.2, 1.0), (0.5, 0.5)])
@pytest.mark.parametrize("sizes", [(1, 1), (9, 2), (2, 9)])
def test_in_the_mean_no_look_gains_anything_while_the_candidate_is_not_worse(
    before: Counts, floor: float, live_share: float, excess: float, sizes: tuple[int, int]
) -> None:
    """What makes the evidence an e-value, for every bet: the mean over all that may come is at most 1."""
    share = live_share + excess * floor
    watch = Comparison(floor=floor, before=before)
    for lift in comparison.LIFTS:
        mean = sum(
            binomial(sizes[0], live, live_share)
            * binomial(sizes[1], candidate, share)
            * math.exp(watch._gain(lift, Counts(sizes[0], live), Counts(sizes[1], candidate)))
            for live, candidate in itertools.product(range(sizes[0] + 1), range(sizes[1] + 1))
        )
        assert mean <= 1 + 1e-6


@pytest.mark.parametrize("share", [0.0, 0.002, 0.015])
def test_against_a_bound_no_look_gains_anything_either(share: float) -> None:
    watch = Comparison(floor=0.005, before=Counts(1000, 10), retired=True)
    for lift in comparison.LIFTS:
        mean = sum(binomial(8, bad, share) * math.exp(watch._gain(lift, NOTHING, Counts(8, bad))) for bad in range(9))
        assert mean <= 1 + 1e-9


def test_the_bound_is_above_what_was_seen_and_comes_down_with_more_requests() -> None:
    bounds = [comparison.upper_bound(Counts(size, size // 100), 0.005) for size in (100, 1_000, 10_000, 100_000)]
    assert bounds == sorted(bounds, reverse=True)
    assert 0.01 < bounds[-1] < 0.0115
    assert comparison.upper_bound(NOTHING, 0.005) == 1.0
    # Nothing bad in 1 000 requests: 1 - (1 / risk)^(-1 / 1000), which is where no bad one would be that improbable.
    assert comparison.upper_bound(Counts(1_000, 0), 0.005) == pytest.approx(1 - 0.005 ** (1 / 1_000), abs=1e-6)


def test_slots_that_are_alike_are_not_told_apart_however_often_one_looks() -> None:
    chance = random.Random(4)
    watch = Comparison(floor=0.005, looks=600)
    assert not any(watch.look(draw(chance, 20, 0.02), draw(chance, 20, 0.02)).worse for _look in range(600))


@pytest.mark.parametrize("retired", [False, True])
def test_five_points_more_errors_are_found_within_500_requests(retired: bool) -> None:
    chance = random.Random(5)
    watch = Comparison(floor=0.005, before=Counts(2_000, 20), retired=retired)
    found = [
        watch.look(NOTHING if retired else draw(chance, 150, 0.01), draw(chance, 50, 0.06)).worse for _look in range(10)
    ]
    assert found[-1]


def test_a_release_that_turns_bad_late_is_found_in_spite_of_all_that_it_did_well() -> None:
    chance = random.Random(6)
    watch = Comparison(floor=0.005, risk=0.12, looks=120)
    for _look in range(100):
        assert not watch.look(draw(chance, 300, 0.01), draw(chance, 100, 0.01)).worse
    assert any(watch.look(draw(chance, 300, 0.01), draw(chance, 100, 0.06)).worse for _look in range(6))


def test_a_hiccup_that_hits_both_slots_is_nobodys_fault() -> None:
    watch = Comparison(floor=0.005, before=Counts(5_000, 10))
    assert not watch.look(Counts(500, 1), Counts(500, 1)).worse
    assert not watch.look(Counts(500, 200), Counts(500, 205)).worse


def test_a_difference_below_the_floor_does_not_matter_with_however_many_requests() -> None:
    watch = Comparison(floor=0.01)
    for _look in range(60):
        finding = watch.look(Counts(10_000, 100), Counts(10_000, 180))
    assert not finding.worse
    assert finding.candidate == Counts(600_000, 10_800)


def test_what_was_found_once_stays_found() -> None:
    watch = Comparison(floor=0.0, before=Counts(1_000, 10))
    assert watch.look(Counts(100, 1), Counts(100, 60)).worse
    for _look in range(50):
        assert watch.look(Counts(1_000, 10), Counts(1_000, 10)).worse


@pytest.mark.parametrize(
    ("live", "candidate"), [(NOTHING, NOTHING), (Counts(1_000, 5), NOTHING), (NOTHING, Counts(1_000, 900))]
)
def test_without_requests_on_both_slots_there_is_no_evidence(live: Counts, candidate: Counts) -> None:
    watch = Comparison(floor=0.0, before=Counts(100, 1))
    for _look in range(20):
        finding = watch.look(live, candidate)
    assert not finding.worse
    assert finding.evidence == pytest.approx(1.0)


def test_a_retired_slot_of_which_nothing_is_known_accuses_nobody() -> None:
    watch = Comparison(floor=0.0, retired=True)
    assert not watch.look(NOTHING, Counts(1_000, 1_000)).worse


def test_a_pass_needs_enough_requests_that_could_be_compared() -> None:
    watch = Comparison(floor=0.005, before=Counts(1_000, 5))
    seen = [
        watch.look(NOTHING, Counts(500, 0)),  # the live slot is idle: nothing to compare with
        watch.look(Counts(500, 2), NOTHING),
        watch.look(Counts(500, 2), Counts(60, 0)),
        watch.look(Counts(500, 2), Counts(60, 1)),
        watch.look(Counts(500, 2), Counts(60, 50)),
    ]
    assert [one.compared for one in seen] == [0, 0, 60, 120, 180]
    assert [comparison.judge(one, 100) for one in seen] == [NO_DATA, NO_DATA, INCONCLUSIVE, PASS, FAIL]


@pytest.mark.parametrize("retired", [False, True])
def test_no_traffic_is_never_a_pass(retired: bool) -> None:
    watch = Comparison(floor=0.0, before=Counts(1_000, 5), retired=retired)
    assert {comparison.judge(watch.look(NOTHING, NOTHING), 1) for _look in range(50)} == {NO_DATA}


def test_a_retired_slot_that_showed_nothing_is_nothing_to_compare_with() -> None:
    found = Comparison(floor=0.0, retired=True).look(NOTHING, Counts(1_000, 0))
    assert comparison.judge(found, 1) == NO_DATA


@pytest.mark.parametrize("wrong", [{"floor": -0.1}, {"floor": 1.0}, {"risk": 0.0}, {"risk": 1.0}, {"looks": 0}])
def test_what_can_never_be_compared_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(BadInput, match="can never be made"):
        Comparison(**{"floor": 0.0, **wrong})  # type: ignore[arg-type]


@pytest.mark.parametrize("counts", [Counts(3, 4), Counts(-1, 0), Counts(5, -1)])
def test_counts_that_cannot_be_are_refused(counts: Counts) -> None:
    with pytest.raises(BadInput, match="no counts of requests"):
        Comparison(floor=0.0).look(counts, NOTHING)
