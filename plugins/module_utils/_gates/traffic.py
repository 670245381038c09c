# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gates on what users get: the candidate slot against limits, and against the live slot. PRIVATE.

Every limit is a share of bad requests, which Comparison judges: a limit on p95 says that at most 5 % of the answers may
take longer. That needs one count of answers for each time, and no samples, however long a watch is.
"""

from __future__ import annotations

import math
import typing as t

from .._foundation.errors import RolloutError
from . import quantity
from .comparison import BOUND, Comparison, Counts, Finding, judge, upper_bound
from .look import Look, broken
from .quantity import DURATION, GROWTH, SHARE
from .specification import GateSpecification
from .verdict import FAIL, INCONCLUSIVE, NO_DATA, PASS, combine

#: Of a false alarm of one gate in one watch: about a candidate exactly at a limit that stands for itself; and about one
#: exactly as much worse than the live slot as it may be. One that is like the live slot is refused far more rarely.
RISK = 0.01
RISK_AGAINST_LIVE = 0.12
_SMALLEST_FLOOR = 0.01  # of the difference of shares of slow answers


class Tally(t.NamedTuple):
    """What a slot has answered: *times* has the answers by how long they took, in ms cut to two digits.

    *probes*: how many of the answers were not for users, by the class of their status; they are not in *times*.
    """

    responses: int = 0
    responses_4xx: int = 0
    responses_5xx: int = 0
    connection_errors: int = 0
    times: t.Mapping[int, int] = {}
    probes: t.Mapping[int, int] = {}


class Slots(t.NamedTuple):
    """Who is watched: the *candidate*, and the slot that was *live* before (None: there was none).

    *shared*: users get both of them during the watch; else the live slot is judged by what it answered before.
    """

    candidate: str
    live: str | None
    shared: bool = False


Reader = t.Callable[[], t.Mapping[str, Tally]]
#: Names the instances with most errors, or the slowest ones, for a person.
Blame = t.Callable[[bool], t.Sequence[str]]


def since_then(now: Tally, before: Tally) -> Tally:
    """Returns what came after *before*. When a counter went back, all began anew: HAProxy was reloaded.

    What its table counts is another matter: a person may clear the counters alone, and a time that nothing took for a
    week leaves the table alone.
    """
    anew = any(one < then for one, then in zip(now[:4], before[:4]))
    counted = Tally() if anew else before
    return Tally(
        now.responses - counted.responses,
        now.responses_4xx - counted.responses_4xx,
        now.responses_5xx - counted.responses_5xx,
        now.connection_errors - counted.connection_errors,
        {took: _since(answers, before.times.get(took, 0)) for took, answers in now.times.items()},
        {kind: _since(answers, before.probes.get(kind, 0)) for kind, answers in now.probes.items()},
    )


def _since(now: int, before: int) -> int:
    return now - before if now >= before else now


class Users:
    """What users got of a slot, from look to look: what was asked by a rollout is taken off.

    HAProxy counts an answer and its probe a moment apart. What is taken off too early is taken off the next look less,
    so that nothing is ever counted that no user got.
    """

    def __init__(self, last: Tally) -> None:
        self._last = last
        self._owed = (0, 0, 0)

    def look(self, now: Tally) -> Tally:
        """Returns what users got since the look before."""
        came, self._last = since_then(now, self._last), now
        probes = came.probes
        raw = (
            came.responses - sum(probes.values()),
            came.responses_4xx - probes.get(4, 0),
            came.responses_5xx - probes.get(5, 0),
        )
        owed = tuple(one + before for one, before in zip(raw, self._owed))
        told = [max(0, one) for one in owed]
        self._owed = (min(0, owed[0]), min(0, owed[1]), min(0, owed[2]))
        return Tally(told[0], told[1], told[2], came.connection_errors, came.times)


def quantile(times: t.Mapping[int, int], share: float) -> float | None:
    """Returns within how many s *share* (0 to 1) of the answers came, to two digits; None without answers."""
    total, seen = sum(times.values()), 0
    for took in sorted(times):
        seen += times[took]
        if seen >= math.ceil(share * total) and seen:
            return took / 1000
    return None


def slower(times: t.Mapping[int, int], seconds: float) -> Counts:
    """Returns how many answers took longer than *seconds*, to two digits."""
    milliseconds = round(seconds * 1000)
    return Counts(sum(times.values()), sum(answers for took, answers in times.items() if took > milliseconds))


_COUNTED: t.Mapping[str, t.Callable[[Tally], Counts]] = {
    "error_share": lambda tally: Counts(tally.responses, min(tally.responses, tally.responses_5xx)),
    "response_4xx_share": lambda tally: Counts(tally.responses, min(tally.responses, tally.responses_4xx)),
    "connection_error_share": lambda tally: Counts(tally.responses + tally.connection_errors, tally.connection_errors),
}
_QUANTILES: t.Mapping[str, float] = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


class _Limit:
    """One limit during one watch: *bad* counts what breaks it, *comparison* is None where nothing can be compared."""

    def __init__(
        self,
        name: str,
        bad: t.Callable[[Tally], Counts],
        comparison: Comparison | None,
        allowed: str,
        *,
        tolerated: float | None = None,
        floor: float | None = None,
        longest: float | None = None,
    ) -> None:
        self._floor = floor
        self._longest = longest
        self._name = name
        self._bad = bad
        self._comparison = comparison
        self._allowed = allowed
        self._tolerated = tolerated
        self._times: dict[int, int] = {}
        self.of_times = name in _QUANTILES
        #: Whether the candidate is above a limit that stands for itself, be it by chance or not.
        self.above = False

    def look(self, live: Tally, candidate: Tally, min_samples: int) -> tuple[str | None, str]:
        """Returns the verdict, None where there is nothing to compare with, and the words for it."""
        for took, answers in candidate.times.items():
            self._times[took] = self._times.get(took, 0) + answers
        if self._comparison is None:
            return None, f"{self._name}: {self._allowed}"
        found = self._comparison.look(self._bad(live), self._bad(candidate))
        return self._verdict(found, min_samples), f"{self._seen(found)}, {self._allowed}{self._doubt(found)}"

    def _doubt(self, found: Finding) -> str:
        """A number above its limit that is no failure needs a word."""
        if self._longest is not None:
            above = (quantile(self._times, _QUANTILES[self._name]) or 0.0) > self._longest
        else:
            above = self._floor is not None and (found.candidate.share or 0.0) > (found.live.share or 0.0) + self._floor
        return " (what is more may be chance)" if above and not found.worse else ""

    def _verdict(self, found: Finding, min_samples: int) -> str:
        verdict = judge(found, min_samples)
        # What is above a limit that was told passes nothing, even while there is too little evidence against it.
        self.above = self._tolerated is not None and (found.candidate.share or 0.0) > self._tolerated
        return INCONCLUSIVE if verdict == PASS and self.above else verdict

    def _seen(self, found: Finding) -> str:
        if self.of_times:
            value, kind = quantile(self._times, _QUANTILES[self._name]), DURATION
        else:
            value, kind = found.candidate.share, SHARE
        return f"{self._name} {'unknown' if value is None else quantity.words(value, kind)}"


class TrafficSampler:
    """Looks at what users got since they have the slot, or since the watch began.

    *read* gives the tallies by slot; raises RolloutError when it cannot. *looks*: about how many there will be.
    *watches*: how many share the risk of a false alarm. *before*: what the live slot had answered when its release was
    confirmed. *since*: what the candidate had answered when it got all users, which may have been before this watch
    began. *blame* is asked for the slowest instances where only limits on times are broken.
    """

    def __init__(
        self,
        gate: GateSpecification,
        read: Reader,
        slots: Slots,
        *,
        looks: int = 60,
        watches: int = 1,
        before: Tally | None = None,
        since: Tally | None = None,
        blame: Blame = lambda _slow: [],
    ) -> None:
        self._gate = gate
        self._read = read
        self._slots = slots
        self._blame = blame
        now = read()
        self._users = {slot: Users(now.get(slot, Tally())) for slot in (slots.live or "", slots.candidate)}
        if since is not None:
            self._users[slots.candidate] = Users(since)
        history = Users(before or Tally()).look(now.get(slots.live or "", Tally()))
        among = max(1, len(gate.at_most) + len(gate.relative)) * watches
        self._limits = [_absolute(name, limit, RISK / among, looks) for name, limit in gate.at_most.items()]
        if slots.live is not None:
            self._limits += [
                _relative(name, limit, RISK_AGAINST_LIVE / among, looks, history, slots.shared, gate.min_samples)
                for name, limit in gate.relative.items()
            ]
        self._answers = 0

    def __call__(self, allowed: float) -> Look:
        """Takes one look; counters are read at once, whatever is *allowed*."""
        try:
            now = self._read()
        except RolloutError as error:
            return broken(str(error).partition("\n")[0])
        live, candidate = (
            self._users[slot].look(now.get(slot, Tally())) for slot in (self._slots.live or "", self._slots.candidate)
        )
        self._answers += candidate.responses
        looks = [limit.look(live, candidate, self._gate.min_samples) for limit in self._limits]
        # What cannot be compared is told, and judged by the limits that stand for themselves; without any, by nothing.
        verdicts = [verdict for verdict, _words in looks if verdict] or [NO_DATA]
        words = [self._samples(), *(words for _verdict, words in looks)]
        verdict = combine([*verdicts, self._enough()])
        few = self._answers < self._gate.min_samples
        unused = few and verdict != FAIL and not any(limit.above for limit in self._limits)
        broken_limits = [limit for limit, (said, _words) in zip(self._limits, looks) if said == FAIL]
        return Look(verdict, words, self._worst(broken_limits) if broken_limits else [], unused=unused)

    def _worst(self, broken_limits: t.Sequence[_Limit]) -> t.Sequence[str]:
        try:
            return self._blame(all(limit.of_times for limit in broken_limits))
        except RolloutError:
            return []

    def _enough(self) -> str:
        if not self._answers:
            return NO_DATA
        return PASS if self._answers >= self._gate.min_samples else INCONCLUSIVE

    def _samples(self) -> str:
        few = f", at least {self._gate.min_samples}" if self._answers < self._gate.min_samples else ""
        return f"{self._answers} answers{few}"


def _absolute(name: str, limit: float, risk: float, looks: int) -> _Limit:
    """A limit that says by itself which share of requests may be bad."""
    if name in _QUANTILES:
        tolerated = 1 - _QUANTILES[name]
        allowed = f"at most {quantity.words(limit, DURATION)}"
        comparison = Comparison(tolerated=tolerated, risk=risk, looks=looks)
        return _Limit(name, lambda tally: slower(tally.times, limit), comparison, allowed, tolerated=tolerated)
    comparison = Comparison(tolerated=min(limit, 0.999), risk=risk, looks=looks)
    return _Limit(name, _COUNTED[name], comparison, f"at most {quantity.words(limit, SHARE)}", tolerated=limit)


def _relative(
    name: str, limit: float, risk: float, looks: int, history: Tally, shared: bool, min_samples: int
) -> _Limit:
    """A limit on how much worse than the live slot: *limit* in points of a share, or in parts of its time."""
    known_answers = sum(history.times.values()) if name in _QUANTILES else history.responses
    if known_answers < min_samples:
        words = f"the live slot gave only {known_answers} answers, at least {min_samples}: nothing to compare with"
        return _Limit(name, _COUNTED["error_share"], None, words)
    if name not in _QUANTILES:
        before = _COUNTED[name](history)
        comparison = Comparison(floor=limit, risk=risk, looks=looks, before=before, retired=not shared)
        allowed = f"live {quantity.words(before.share or 0.0, SHARE)}, at most {quantity.words(limit, SHARE)} more"
        return _Limit(name, _COUNTED[name], comparison, allowed, floor=limit)
    known = quantile(history.times, _QUANTILES[name]) or 0.0
    allowed = f"live {quantity.words(known, DURATION)}, at most {quantity.words(limit, GROWTH)} more"
    slowness = against(history.times, _QUANTILES[name], limit, risk=risk, looks=looks, shared=shared)

    def bad(tally: Tally) -> Counts:
        return slower(tally.times, slowness.longest)

    # With shared traffic, what is more than the live slot took then may be what it takes now: that needs no word.
    longest = None if shared else _allowed(known, limit)
    return _Limit(name, bad, slowness.comparison, allowed, longest=longest)


class Slowness(t.NamedTuple):
    """How slow answers are compared: bad are those that take longer than *longest*, in s."""

    longest: float
    comparison: Comparison


def against(
    times: t.Mapping[int, int], quantile_share: float, limit: float, *, risk: float, looks: int, shared: bool
) -> Slowness:
    """Returns how a candidate is held against a live slot whose answers took *times*; it may be *limit* parts slower.

    With *shared* traffic both slots are compared on the same minutes: what makes both slow is nobody's fault. The
    candidate may have as many more slow answers as lie between what the live slot has beyond *longest* and what the
    quantile allows. Without, the live slot is what it was: its quantile is known only so well, and the highest value
    that it may have counts, which costs a part of the risk (BOUND).
    """
    allowed, answers = 1 - quantile_share, sum(times.values())
    known = quantile(times, quantile_share if shared else _upper(quantile_share, answers, risk * BOUND)) or 0.0
    longest = _allowed(known, limit)
    if not shared:
        return Slowness(longest, Comparison(tolerated=allowed, risk=risk * (1 - BOUND), looks=looks))
    before = slower(times, longest)
    floor = max(_SMALLEST_FLOOR, allowed - (before.share or 0.0))
    return Slowness(longest, Comparison(floor=floor, risk=risk, looks=looks, before=before))


def _allowed(known: float, limit: float) -> float:
    """Nothing is faster than the step of the counter: 20 % more than 1 ms would be a limit of chance."""
    return max(known * (1 + limit), known + 0.002)


def _upper(share: float, answers: int, risk: float) -> float:
    """Returns the share of *answers* below which the quantile *share* lies with a probability of at least 1 - *risk*.

    By the bound of Chernoff, as upper_bound() has it: with how many slow answers it can hardly be any lower. 1 when
    there are too few answers for that: then the slowest one counts.
    """
    slow, low, high = 1 - share, 0, int(answers * (1 - share)) + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if upper_bound(Counts(answers, middle), risk) <= slow else (low, middle)
    return 1 - low / answers if answers else 1.0
