# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How often the comparison of slots is wrong, and how soon it finds what is worse: many simulated watches a point.

What is simulated is the traffic; what judges it is the code of the collection. The same seed gives the same figures.
"""

from __future__ import annotations

import collections
import math
import random
import statistics
import typing as t
from concurrent.futures import ProcessPoolExecutor

from ansible_collections.vitalops.rollout.plugins.module_utils._gates import traffic
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.comparison import (
    NOTHING,
    Comparison,
    Counts,
    judge,
)
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.specification import TYPES
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.verdict import PASS

FLOOR = 0.005  # a difference of half a percentage point does not matter
LOOKS = 30  # of a watch: five minutes, one every 10 s
EARLY = 500  # requests of the candidate


class Users(t.NamedTuple):
    """How many requests the candidate gets between two looks, how many looks there are, and of how many limits."""

    requests: int
    looks: int = LOOKS
    limits: int = 1


NONE, LONG, HIGH, SHARED = "none", "low, 100 looks", "high", "high, one of 4 limits"
TRAFFIC = {
    NONE: Users(0),
    "low": Users(5),
    LONG: Users(5, EARLY // 5),
    HIGH: Users(100),
    SHARED: Users(100, limits=4),
}
#: While traffic is shifted the live slot has three times as much; after the switch, what it showed before.
SHIFTED, SWITCHED = "25 % shifted", "all switched"
LIVE_TIMES = 3
BEFORE = 20_000
#: Latencies in ms: their logarithm is taken to be normal. A limit on how much slower p95 may be, as a gate has it.
MEDIAN, SPREAD = 100.0, 0.6
P95_LIMIT = 0.1
#: Live slots whose answers are drawn; the watches of a point take them by turns.
HISTORIES = 200
#: What a pass needs, unless a gate says otherwise.
MIN_SAMPLES = int(TYPES["traffic"].min_samples)
#: The x of the curves: requests of the candidate.
STEPS = (100, 200, 300, 500, 700, 1000, 1500, 2000, 3000)


class Point(t.NamedTuple):
    """One kind of watch: *what* is worse by *words*: shares 0 to 1 of errors, or times as parts of the live slot's."""

    what: str
    words: str
    live: float
    candidate: float
    traffic: str
    mode: str


def points() -> list[Point]:
    """Returns every point: what differs, with how much traffic, and against what it is compared. Pure."""
    differences = []
    for base in (0.001, 0.01):
        for more in (0.0, 0.005, 0.01, 0.05):
            words = f"{base:.1%} errors, {'the same' if not more else f'{more:+.1%}'}"
            differences.append(("errors", words, base, base + more))
    for factor in (1.0, 1.2, 1.5):
        words = "latency, the same" if factor == 1 else f"latency, {factor - 1:+.0%}"
        differences.append(("latency", words, 1.0, factor))
    # Without traffic nothing differs.
    alike = [one for one in differences if one[2] == one[3] and one[2] != 0.001]
    return [
        Point(*one, name, mode)
        for mode in (SHIFTED, SWITCHED)
        for name in TRAFFIC
        for one in (alike if name == NONE else differences)
    ]


def measure(repeats: int, seed: int = 1) -> list[dict[str, t.Any]]:
    """Returns a row for each point, from *repeats* watches."""
    with ProcessPoolExecutor() as pool:
        return list(pool.map(_row, points(), [repeats] * len(points()), [seed] * len(points())))


def _row(point: Point, repeats: int, seed: int) -> dict[str, t.Any]:
    chance = random.Random(f"{seed} {point}")
    histories = [history(chance) for _history in range(min(repeats, HISTORIES))] if point.what == "latency" else [{}]
    found = [watch(point, chance, histories[number % len(histories)]) for number in range(repeats)]
    return {**point._asdict(), **told([one.after for one in found], sum(one.verdict == PASS for one in found))}


class Ended(t.NamedTuple):
    """How a watch ended: *after* how many requests of the candidate it was found worse, or None; and the verdict."""

    after: int | None
    verdict: str


def told(found: t.Sequence[int | None], passed: int = 0) -> dict[str, t.Any]:
    """Returns the figures of watches that found something after so many requests, or nothing, and *passed*. Pure."""
    hits = [one for one in found if one is not None]
    return {
        "watches": len(found),
        "passed": passed / len(found),
        "reverted": len(hits) / len(found),
        "early": sum(one <= EARLY for one in hits) / len(found),
        "median": statistics.median(hits) if hits else None,
        "curve": [sum(one <= step for one in hits) / len(found) for step in STEPS],
    }


def watch(point: Point, chance: random.Random, times: t.Mapping[int, int]) -> Ended:
    """Returns how one watch ended; *times*: of the live slot."""
    switched, (size, looks, limits) = point.mode == SWITCHED, TRAFFIC[point.traffic]
    risk = traffic.RISK_AGAINST_LIVE / limits
    if point.what == "errors":
        live, candidate = point.live, point.candidate
        comparison = Comparison(
            floor=FLOOR,
            risk=risk,
            looks=looks,
            before=_draw(chance, BEFORE, live),
            retired=switched,
        )
    else:
        slowness = traffic.against(times, 0.95, P95_LIMIT, risk=risk, looks=looks, shared=not switched)
        live, candidate = (slow(1000 * slowness.longest, factor) for factor in (point.live, point.candidate))
        comparison = slowness.comparison
    verdict = ""
    for _look in range(looks):
        seen = NOTHING if switched else _draw(chance, LIVE_TIMES * size, live)
        finding = comparison.look(seen, _draw(chance, size, candidate))
        verdict = judge(finding, MIN_SAMPLES)
        if finding.worse:
            return Ended(finding.candidate.requests, verdict)
    return Ended(None, verdict)


def history(chance: random.Random) -> dict[int, int]:
    """Returns how long the answers of a live slot took, as HAProxy counts them: {ms, cut to two digits: answers}."""
    drawn = (chance.lognormvariate(math.log(MEDIAN), SPREAD) for _answer in range(BEFORE))
    return dict(collections.Counter(int(took // (step := _step(took)) * step) for took in drawn))


def _step(milliseconds: float) -> int:
    """Returns how far two times of two digits are apart."""
    return int(max(1, 10 ** (math.floor(math.log10(max(milliseconds, 1.0))) - 1)))


def slow(longest: float, factor: float) -> float:
    """Returns the share of answers that count as longer than *longest* ms; all take *factor* times as long. Pure."""
    step = _step(longest)
    edge = (longest // step + 1) * step
    return math.erfc(math.log(edge / (MEDIAN * factor)) / SPREAD / math.sqrt(2)) / 2


def _draw(chance: random.Random, requests: int, share: float) -> Counts:
    """Returns how many of *requests* are bad: the gaps between bad ones are geometric."""
    bad, at = 0, 0
    while True:
        at += 1 + int(math.log(1.0 - chance.random()) / math.log1p(-share))
        if at > requests:
            return Counts(requests, bad)
        bad += 1
