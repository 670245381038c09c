# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A gate: samples all targets at the same time, then tells each verdict with its numbers next to the limits.

PRIVATE to the collection. A sampler is any callable of the shape Sampler; what it samples is of no concern here.
"""

from __future__ import annotations

import threading
import time
import typing as t

from .._foundation.errors import BadInput, RolloutError
from .statistics import percentile
from .verdict import BAD, BROKEN, ERROR, GOOD, NO_DATA, PASS, Sample, combine, count_runs, judge

# Seconds past the deadline that a sampler gets to come back before it is left behind.
GRACE = 0.3


class Sampler(t.Protocol):
    """Takes one sample within *allowed* seconds; *cut* says that these are less than the timeout of the gate."""

    def __call__(self, allowed: float, *, cut: bool = False) -> Sample: ...


class Limits(t.NamedTuple):
    """What a target must reach: good answers in a row, seconds between samples, for one answer, and for the gate."""

    consecutive: int = 3
    interval: float = 0.5
    timeout: float = 5.0
    deadline: float = 60.0


class Target(t.NamedTuple):
    """Something to sample; *place* is what a person would look at, for example its URL."""

    name: str
    place: str
    sampler: Sampler


def check(targets: t.Sequence[Target], limits: Limits) -> None:
    """Raises BadInput when no run of this gate could ever pass."""
    repeated = sorted({target.name for target in targets if [one.name for one in targets].count(target.name) > 1})
    problems = [
        (not targets, "at least one target", "none"),
        (bool(repeated), "a different name for each target", f"several targets named {', '.join(repeated)}"),
        (limits.consecutive < 1, "consecutive of 1 or more", str(limits.consecutive)),
        (limits.interval < 0, "an interval of 0 s or more", f"{limits.interval:g} s"),
        (limits.timeout <= 0, "a timeout above 0 s", f"{limits.timeout:g} s"),
        (limits.deadline <= 0, "a deadline above 0 s", f"{limits.deadline:g} s"),
    ]
    needed = (limits.consecutive - 1) * limits.interval
    problems.append(
        (
            limits.deadline <= needed,
            f"a deadline above {needed:g} s ({limits.consecutive} answers in a row, one every {limits.interval:g} s)",
            f"{limits.deadline:g} s",
        )
    )
    for wrong, expected, found in problems:
        if wrong:
            raise BadInput("The gate could never pass; nothing was sampled.", expected=expected, found=found)


def sample_all(targets: t.Sequence[Target], limits: Limits) -> tuple[list[list[Sample]], list[float]]:
    """Samples every target in its own thread until it has passed or the deadline is over.

    Returns the samples of each target, and the seconds each one took. Ends at the latest GRACE seconds after the
    deadline, even when a sampler hangs.
    """
    started = time.monotonic()
    watches = [_Watch(target.sampler, limits, started) for target in targets]
    threads = [threading.Thread(target=watch.run, daemon=True) for watch in watches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, started + limits.deadline + GRACE - time.monotonic()))
    return [list(watch.samples) for watch in watches], [watch.elapsed() for watch in watches]


class _Watch:
    """Samples one target until it is decided."""

    def __init__(self, sampler: Sampler, limits: Limits, started: float) -> None:
        self._sampler = sampler
        self._limits = limits
        self._started = started
        self._ended: float | None = None
        self.samples: list[Sample] = []

    def elapsed(self) -> float:
        return (self._ended or time.monotonic()) - self._started

    def run(self) -> None:
        ends = self._started + self._limits.deadline
        while True:
            began = time.monotonic()
            if began >= ends:
                break
            self.samples.append(self._sample(began, ends - began))
            if judge(self.samples, self._limits.consecutive) in (PASS, ERROR):
                break
            time.sleep(max(0.0, min(began + self._limits.interval, ends) - time.monotonic()))
        self._ended = time.monotonic()

    def _sample(self, began: float, left: float) -> Sample:
        allowed = min(self._limits.timeout, left)
        # The first sample is never cut: a target silent for the whole deadline has failed.
        cut = bool(self.samples) and left < self._limits.timeout
        try:
            sample = self._sampler(allowed, cut=cut)
        except Exception as error:  # whatever it is, it must become a verdict and not a silent thread
            sample = Sample(BROKEN, problem=f"the sampler broke: {type(error).__name__}: {error}")
        return sample._replace(began=round(began - self._started, 3))


def report(target: Target, samples: t.Sequence[Sample], elapsed: float, limits: Limits) -> dict[str, t.Any]:
    """Returns what a person or a play needs to know about one target, as plain data (see RETURN of health_gate)."""
    runs = count_runs(samples)
    latencies = [sample.latency for sample in samples if sample.latency is not None]
    failures = [sample for sample in samples if sample.outcome in (BAD, BROKEN)]
    last = samples[-1] if samples else Sample(BROKEN)
    middle = percentile(latencies, 0.5)
    told: dict[str, t.Any] = {
        "name": target.name,
        "url": target.place,
        "verdict": judge(samples, limits.consecutive),
        "samples": len(samples),
        "good": sum(sample.outcome == GOOD for sample in samples),
        "consecutive": runs.last,
        "consecutive_longest": runs.longest,
        "elapsed": round(elapsed, 3),
        "last_status": last.status,
        "last_error": last.problem,
        "last_headers": list(last.headers),
        "last_body": last.body,
        "latency_ms": {
            "p50": None if middle is None else round(middle, 1),
            "max": round(max(latencies), 1) if latencies else None,
        },
        "first_failure": None,
    }
    if failures:
        first = failures[0]
        told["first_failure"] = {
            "after": first.began,
            "status": first.status,
            "error": first.problem,
            "headers": list(first.headers),
            "body": first.body,
        }
    return told


def summarise(told: t.Mapping[str, t.Any], limits: Limits) -> str:
    """Returns one line about the report *told*: the verdict, then each number next to its limit."""
    if not told["samples"]:
        return f"{told['name']}: {told['verdict']}: no sample came back within the deadline of {limits.deadline:g} s"
    parts = [
        f"{told['consecutive_longest']} of {limits.consecutive} good in a row",
        f"{told['good']} of {told['samples']} samples good",
        f"{told['elapsed']:.1f} of {limits.deadline:g} s",
    ]
    if told["latency_ms"]["max"] is not None:
        latency = told["latency_ms"]
        parts.append(f"p50 {latency['p50']:.0f} ms, max {latency['max']:.0f} of {limits.timeout * 1000:.0f} ms")
    if told["verdict"] != PASS and told["last_error"]:
        parts.append(f"last: {told['last_error']}")
    return f"{told['name']}: {told['verdict']}: {'; '.join(parts)}"


def conclude(reports: t.Sequence[t.Mapping[str, t.Any]], limits: Limits) -> dict[str, t.Any]:
    """Returns the result of the whole gate: verdict, targets, summary, limits."""
    return {
        "verdict": combine(told["verdict"] for told in reports),
        "targets": list(reports),
        "summary": [summarise(told, limits) for told in reports],
        "limits": dict(limits._asdict()),
    }


def not_sampled(targets: t.Sequence[tuple[str, str]], limits: Limits) -> dict[str, t.Any]:
    """Returns the result of a gate that looked at nothing, for (name, place) of each target: no_data, never a pass."""
    reports = [report(Target(name, place, _never), [], 0.0, limits) for name, place in targets]
    result = conclude(reports, limits)
    result["summary"] = [f"{name}: {NO_DATA}: not sampled" for name, _place in targets]
    return result


def _never(allowed: float, *, cut: bool = False) -> Sample:
    raise AssertionError("a target of a gate that looks at nothing was sampled")


def refusal(result: t.Mapping[str, t.Any], expected: str, next_step: str) -> RolloutError:
    """Returns the failure to raise for the *result* of a gate that did not pass; *expected* tells a good answer."""
    failed = [(told, line) for told, line in zip(result["targets"], result["summary"]) if told["verdict"] != PASS]
    found = []
    for told, line in failed:
        found.append(line)
        if told["last_status"] is not None:
            answer = [f"status {told['last_status']}", *told["last_headers"], f"body: {told['last_body'] or '(empty)'}"]
            found.append(f"  last answer: {', '.join(answer)}")
    return RolloutError(
        f"The gate did not pass ({result['verdict']}): "
        f"{len(failed)} of {len(result['targets'])} targets did not give the evidence.",
        expected=expected,
        found="\n    ".join(found),
        where=", ".join(told["url"] for told, _line in failed),
        next_step=next_step,
    )
