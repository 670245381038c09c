# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Words of a gate and how they combine: from samples to one verdict, without any input or output.

PRIVATE to the collection. A pass needs positive evidence; whatever was not seen is never a pass.
"""

from __future__ import annotations

import typing as t

PASS, FAIL, INCONCLUSIVE, NO_DATA, ERROR = "pass", "fail", "inconclusive", "no_data", "error"

# From best to worst: a bad answer that was seen outweighs a sampler that broke, which outweighs missing evidence.
SEVERITY = (PASS, INCONCLUSIVE, NO_DATA, ERROR, FAIL)

# Outcomes of one sample.
GOOD, BAD, CUT, BROKEN = "good", "bad", "cut", "broken"


class Sample(t.NamedTuple):
    """One look at a target.

    outcome: ``good``; ``bad`` (the target gave a wrong answer or none); ``cut`` (the deadline of the gate left less
    than the timeout, so silence proves nothing); ``broken`` (the sampler itself failed).
    began: seconds since the gate began. latency: milliseconds until the answer was complete, None without an answer.
    status: HTTP status. problem: why it is not good. body: excerpt of the body of the answer.
    headers: of one that is not good, those that help a person, such as ``Retry-After: 5``.
    """

    outcome: str
    began: float = 0.0
    latency: float | None = None
    status: int | None = None
    problem: str | None = None
    body: str | None = None
    headers: t.Sequence[str] = ()


class Runs(t.NamedTuple):
    """Good samples in a row: in the run that ends with the last sample, and in the longest run."""

    last: int
    longest: int


def count_runs(samples: t.Iterable[Sample]) -> Runs:
    """Counts good samples in a row. A cut sample neither extends nor ends a run."""
    last = longest = 0
    for sample in samples:
        if sample.outcome == CUT:
            continue
        last = last + 1 if sample.outcome == GOOD else 0
        longest = max(longest, last)
    return Runs(last, longest)


def judge(samples: t.Sequence[Sample], consecutive: int) -> str:
    """Returns the verdict about one target, given every sample so far.

    error: the sampler broke. pass: *consecutive* good samples in a row were seen. fail: they were not, and bad samples
    were. inconclusive: only good samples, but too few of them. no_data: nothing that can be judged.
    """
    outcomes = {sample.outcome for sample in samples}
    if BROKEN in outcomes:
        return ERROR
    if not outcomes & {GOOD, BAD}:
        return NO_DATA
    if count_runs(samples).longest >= consecutive:
        return PASS
    return FAIL if BAD in outcomes else INCONCLUSIVE


def combine(verdicts: t.Iterable[str]) -> str:
    """Returns the worst of *verdicts*; no verdict at all is ``no_data``."""
    return max(verdicts, key=SEVERITY.index, default=NO_DATA)
