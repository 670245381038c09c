# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a candidate has a larger share of bad requests than the live slot, looked at again and again. Pure. PRIVATE.

"Bad" is what the caller counts: errors, or requests slower than a limit. Looking often must not make a false alarm more
likely, so evidence is an e-process: as long as the candidate is not worse by more than the floor, it exceeds 1 / risk
at any look of a watch with a probability of at most *risk* (Ville's inequality), whatever the traffic and however often
one looks. That is said of a candidate exactly at the floor; of one that is like the live slot it is far less probable
(docs/comparison.md).
"""

from __future__ import annotations

import math
import typing as t

from .._foundation.errors import BadInput
from .verdict import FAIL, INCONCLUSIVE, NO_DATA, PASS

#: By how much the share of a bad candidate may exceed what is tolerated; evidence is an average over all of them, so
#: that small and large faults are both found without knowing which to expect.
LIFTS = (0.005, 0.02, 0.05, 0.15, 0.5)
#: Part of the risk that a bound on the share of a retired slot costs; the rest is that of the bets against it.
BOUND = 0.15
# Part of all bets that begin at the first look: most bad releases are bad from the start.
_FIRST = 0.8
_SMALLEST = 1e-6  # of a share: neither 0 nor 1 can be bet on
_HALVINGS = 30
_LARGEST = 700.0  # of a logarithm whose number a float can hold


class Counts(t.NamedTuple):
    """How many requests there were, and how many of them were bad."""

    requests: int
    bad: int

    @property
    def share(self) -> float | None:
        """Share of bad requests, 0 to 1; None without requests."""
        return self.bad / self.requests if self.requests else None


NOTHING = Counts(0, 0)


class Finding(t.NamedTuple):
    """What a watch has seen so far: all counts, and *evidence* (an e-value) that the candidate is *worse*.

    *compared*: how many requests of the candidate there was something to compare with.
    """

    live: Counts
    candidate: Counts
    compared: int
    evidence: float
    worse: bool


def judge(found: Finding, min_samples: int) -> str:
    """Returns the verdict about the candidate: a pass needs *min_samples* requests (1 or more) that were compared."""
    if found.worse:
        return FAIL
    if not found.compared:
        return NO_DATA
    return PASS if found.compared >= min_samples else INCONCLUSIVE


class Comparison:
    """One watch. *floor*: difference of shares (0 to 1) that does not matter. *risk*: of a false alarm in the watch
    about a candidate that is exactly at the floor.

    *looks* is how often about the watch will look: a release may turn bad at any of them, and what it did well before
    shall not hide that. Looking more often is allowed, and finds late faults a little later.

    *before* is what the live slot showed before the watch. When it is *retired*, without traffic in the watch, a bound
    on its share comes from that, which costs a part of the risk (BOUND); else it only says what to expect. With
    *tolerated* there is no live slot: that share (0 to 1) of bad requests is allowed, whatever another slot does.

    Raises BadInput.
    """

    def __init__(
        self,
        *,
        floor: float = 0.0,
        risk: float = 0.01,
        looks: int = 60,
        before: Counts = NOTHING,
        retired: bool = False,
        tolerated: float | None = None,
    ) -> None:
        for what, wrong, expected in (
            ("floor", not 0 <= floor < 1, "from 0 up to 1 (a difference of shares: 0.005 is half a percentage point)"),
            ("risk", not 0 < risk < 1, "between 0 and 1 (a probability: 0.01 is one false alarm in 100 watches)"),
            ("looks", looks < 1, "1 or more"),
            ("tolerated", not 0 <= (tolerated or 0) < 1, "from 0 up to 1 (a share of requests)"),
        ):
            if wrong:
                raise BadInput(f"A comparison with this {what} can never be made.", expected=expected, where=what)
        self._floor = floor
        self._bound = upper_bound(_checked(before), risk * BOUND) if retired else tolerated
        self._needed = -math.log(risk * (1 - BOUND) if retired else risk)
        self._live, self._candidate, self._compared = before, NOTHING, 0
        # Of each lift, the evidence of all beginnings up to now.
        self._begun = [-math.inf] * len(LIFTS)
        self._waiting = 1.0
        self._later = (1 - _FIRST) / looks
        self._most = -math.inf

    def look(self, live: Counts, candidate: Counts) -> Finding:
        """Takes what has come since the last look; of a *retired* slot nothing counts any more. Raises BadInput."""
        _checked(live)
        _checked(candidate)
        if self._comparable(live):
            self._compared += candidate.requests
        begins = min(self._waiting, _FIRST if self._waiting == 1.0 else self._later)
        self._waiting -= begins
        weight = _log(begins)
        self._begun = [
            _plus(known, weight) + self._gain(lift, live, candidate) for known, lift in zip(self._begun, LIFTS)
        ]
        self._live = _added(self._live, live)
        self._candidate = _added(self._candidate, candidate)
        now = _plus(_sum(self._begun) - math.log(len(LIFTS)), _log(self._waiting))
        self._most = max(self._most, now)
        evidence = math.exp(min(now, _LARGEST))
        return Finding(self._live, self._candidate, self._compared, evidence, self._most >= self._needed)

    def _comparable(self, live: Counts) -> bool:
        """Whether there is something to compare with: one slot alone says nothing, nor does one that nobody knows."""
        if self._bound is not None:
            return self._bound < 1.0
        return bool(live.requests and self._live.requests)

    def _gain(self, lift: float, live: Counts, candidate: Counts) -> float:
        """Returns the logarithm of what a bet on *lift* wins: at most 1 in the mean when the candidate is not worse.

        The bet is the ratio of two likelihoods of what came: of an alternative that was chosen before, and of the
        member of "not worse" that is closest to it. For a convex hypothesis this is an e-value for counts of any size
        (Turner, Ly and Grünwald, "Generic E-variables for exact sequential k-sample tests that allow for optional
        stopping", 2021): each factor is 1 + u with u affine in the shares, and the sum of all u is at most 0.
        """
        if not candidate.requests or not self._comparable(live):
            return 0.0
        if self._bound is not None:
            tolerated = min(max(self._bound + self._floor, _SMALLEST), 1 - _SMALLEST)
            return _ratio(candidate, min(tolerated + lift, 1 - _SMALLEST), tolerated)
        expected = (self._live.bad + 0.5) / (self._live.requests + 1)
        feared = min(expected + self._floor + lift, 1 - _SMALLEST)
        if feared <= expected + self._floor:
            return 0.0
        closest = _closest(expected, feared, self._floor, live.requests, candidate.requests)
        return _ratio(live, expected, closest) + _ratio(candidate, feared, closest + self._floor)


def upper_bound(seen: Counts, risk: float) -> float:
    """Returns the share (0 to 1) that a slot which showed *seen* exceeds with a probability of at most *risk*.

    By the bound of Chernoff: the largest p with requests * KL(share, p) <= ln(1 / risk). 1 without requests.
    """
    if not seen.requests:
        return 1.0
    share = seen.bad / seen.requests
    low, high = share, 1.0
    for _halving in range(_HALVINGS):
        middle = (low + high) / 2
        if seen.requests * _divergence(share, middle) <= math.log(1 / risk):
            low = middle
        else:
            high = middle
    return high


def _closest(expected: float, feared: float, floor: float, live: int, candidate: int) -> float:
    """Returns the share of live, in [expected, feared - floor], at which "not worse" is closest to the alternative.

    Where live * KL(expected, x) + candidate * KL(feared, x + floor) is least: its slope grows, so it is halved down.
    """
    low, high = expected, feared - floor
    for _halving in range(_HALVINGS):
        middle = (low + high) / 2
        shifted = middle + floor
        slope = live * (middle - expected) / (middle * (1 - middle))
        slope += candidate * (shifted - feared) / (shifted * (1 - shifted))
        if slope < 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _ratio(seen: Counts, feared: float, tolerated: float) -> float:
    """Returns the logarithm of the likelihood of *seen* at one share over that at the other."""
    good = seen.requests - seen.bad
    return seen.bad * math.log(feared / tolerated) + good * math.log((1 - feared) / (1 - tolerated))


def _divergence(share: float, other: float) -> float:
    """Returns KL(share, other) of two Bernoulli distributions, in nats."""
    if other >= 1:
        return math.inf if share < 1 else 0.0
    told = share * math.log(share / other) if share else 0.0
    return told + ((1 - share) * math.log((1 - share) / (1 - other)) if share < 1 else 0.0)


def _plus(first: float, second: float) -> float:
    """Returns ln(exp(first) + exp(second))."""
    high, low = max(first, second), min(first, second)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf


def _sum(logarithms: t.Iterable[float]) -> float:
    total = -math.inf
    for one in logarithms:
        total = _plus(total, one)
    return total


def _added(first: Counts, second: Counts) -> Counts:
    return Counts(first.requests + second.requests, first.bad + second.bad)


def _checked(counts: Counts) -> Counts:
    if not 0 <= counts.bad <= counts.requests:
        raise BadInput("These are no counts of requests.", expected="0 <= bad <= requests", found=str(tuple(counts)))
    return counts
