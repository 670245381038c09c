# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated watches have the traffic that their point says, and are told as they ended."""

from __future__ import annotations

import random
import statistics
import typing as t

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._gates import traffic
from ansible_collections.vitalops.rollout.tests.bench import report, watch_page, watches


def row(words: str, live: float, candidate: float, found: list[int | None]) -> dict[str, t.Any]:
    point = watches.Point("errors", words, live, candidate, "high", watches.SHIFTED)
    return {**point._asdict(), **watches.told(found)}


def test_there_are_points_with_slots_that_are_alike_and_worse_ones_with_little_and_much_traffic() -> None:
    points = watches.points()
    assert len(points) == len(set(points)) == 2 * (4 * (8 + 3) + 2)
    alike = [point for point in points if point.live == point.candidate]
    assert {(point.what, point.traffic, point.mode) for point in alike} == {
        (what, traffic, mode)
        for what in ("errors", "latency")
        for traffic in watches.TRAFFIC
        for mode in (watches.SHIFTED, watches.SWITCHED)
    }


def test_slower_answers_are_more_often_slower_than_the_limit() -> None:
    shares = [watches.slow(300.0, factor) for factor in (1.0, 1.2, 1.5)]
    assert shares == sorted(shares)
    # Cut to two digits, only 310 ms are more than 300: a normal tail beyond ln(310 / 100) / 0.6.
    assert shares[0] == pytest.approx(0.0297, abs=0.0005)


def test_a_live_slot_has_the_times_that_its_answers_took() -> None:
    times = watches.history(random.Random(3))
    assert sum(times.values()) == watches.BEFORE
    assert traffic.quantile(times, 0.95) == pytest.approx(0.268, abs=0.011)


@pytest.mark.parametrize("share", [0.001, 0.05, 0.13])
def test_so_many_requests_are_bad_as_the_share_says(share: float) -> None:
    chance = random.Random(3)
    drawn = [watches._draw(chance, 1_000, share) for _draw in range(400)]
    assert {one.requests for one in drawn} == {1_000}
    spread = (1_000 * share * (1 - share)) ** 0.5
    mean = statistics.mean(one.bad for one in drawn)
    assert mean == pytest.approx(1_000 * share, abs=5 * spread / 400**0.5)


def test_a_row_tells_how_many_were_found_and_when() -> None:
    told = watches.told([None, 200, 500, 900])
    assert (told["watches"], told["reverted"], told["early"], told["median"]) == (4, 0.75, 0.5, 500)
    assert dict(zip(watches.STEPS, told["curve"]))[300] == 0.25
    assert watches.told([None])["median"] is None


def test_without_traffic_no_watch_passes_and_with_enough_of_it_a_good_release_does() -> None:
    alike = [point for point in watches.points() if point.live == point.candidate]
    for point in (point for point in alike if point.traffic in (watches.NONE, "high")):
        found = watches._row(point, 5, 1)
        assert found["passed"] == (0.0 if point.traffic == watches.NONE else 1.0 - found["reverted"])
        assert found["reverted"] == 0 or point.traffic == "high"


def test_a_long_watch_with_low_traffic_sees_so_many_requests_as_an_early_find_may_need() -> None:
    assert watches.TRAFFIC[watches.LONG].requests * watches.TRAFFIC[watches.LONG].looks == watches.EARLY
    (point,) = (
        one
        for one in watches.points()
        if (one.traffic, one.mode, one.words) == (watches.LONG, watches.SHIFTED, "0.1% errors, +5.0%")
    )
    assert watches._row(point, 20, 1)["reverted"] > 0.9


def test_the_same_seed_gives_the_same_figures() -> None:
    point = watches.points()[-1]
    assert watches._row(point, 3, 1) == watches._row(point, 3, 1)


def test_page_and_curves_show_every_point_and_what_to_remember() -> None:
    rows = [row("1.0% errors, the same", 0.01, 0.01, [None, 900]), row("1.0% errors, +5.0%", 0.01, 0.06, [100, 300])]
    text = watch_page.page(rows)
    assert "| 25 % shifted | 1.0% errors, the same | high | 50.00% | 0.00% | 900 |" in text
    assert "False alarms: at most 50.00% of watches with slots that are alike" in text
    assert "1.0% errors, +5.0%, 25 % shifted: 100.00%" in text
    assert f"]({watch_page.PLOT})" in text
    unused = {**row("1.0% errors, the same", 0.01, 0.01, [None]), "traffic": watches.NONE}
    assert "Passed without traffic: 0.00% (goal: none)." in watch_page.page([*rows, unused])
    assert "1.0% errors, +5.0%" in watch_page.plot(rows)
    assert "\n".join(watch_page.table(rows)) in "\n".join(report.everything({"watches": rows}))
