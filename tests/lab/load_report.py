# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns the lines of load_generator.py into a report. Runs on the client host; Python 3.11 alone.

Usage: load_report.py RESULTS.csv SINCE|- UNTIL|-        (seconds since 1970)
"""

from __future__ import annotations

import collections
import csv
import json
import math
import sys
import typing as t
from pathlib import Path

SHOWN_FAILURES = 5
# Enough to see the shape of any outage; the counts beside the list are always whole.
SHOWN_FAILURES_OF_A_TARGET = 500


class Request(t.NamedTuple):
    """One finished request: due time in s since 1970, latency and lateness in ms, error empty when it went well."""

    due: float
    target: str
    kind: str
    method: str
    status: int
    latency: float
    late: float
    again: int
    error: str


def read(file: Path) -> list[Request]:
    """Reads all whole lines; the last one may still be in the writing."""
    requests = []
    with file.open(newline="", encoding="utf-8") as lines:
        for row in csv.reader(line for line in lines if line.endswith("\n")):
            due, target, kind, method, status, latency, late, again, error = row
            requests.append(
                Request(float(due), target, kind, method, int(status), float(latency), float(late), int(again), error)
            )
    return requests


def percentile(ordered: t.Sequence[float], share: float) -> float | None:
    """Returns the nearest-rank percentile of sorted values (share 0 to 1), or None when there are none."""
    if not ordered:
        return None
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def summarise(
    requests: t.Iterable[Request],
    since: float | None = None,
    until: float | None = None,
    in_flight: t.Iterable[float] = (),
) -> dict[str, t.Any]:
    """Returns the report on the requests that were due from *since* up to, not including, *until*.

    *in_flight* are the due times of requests that have not ended; those in the window are only counted.
    Latencies are ms from the moment a request was due, failed requests included. `rate` is requests a second over the
    window that the requests span. `late_p99_ms` says how late requests were sent: when it is large, the generator
    itself was the bottleneck. `targets` says the same of each target alone, with the times of its failures.
    """

    def inside(due: float) -> bool:
        return (since is None or due >= since) and (until is None or due < until)

    chosen = sorted(request for request in requests if inside(request.due))
    failed = [request for request in chosen if request.error]
    span = chosen[-1].due - chosen[0].due if len(chosen) > 1 else 0.0
    return {
        "requests": len(chosen),
        "failures": len(failed),
        "in_flight": sum(map(inside, in_flight)),
        "reconnects": sum(request.again for request in chosen),
        "rate": round((len(chosen) - 1) / span, 1) if span else 0.0,
        **_latencies(chosen),
        "late_p99_ms": percentile(sorted(request.late for request in chosen), 0.99),
        "from": chosen[0].due if chosen else None,
        "to": chosen[-1].due if chosen else None,
        "kinds": {
            kind: {"requests": len(group), "failures": sum(bool(one.error) for one in group), **_latencies(group)}
            for kind, group in _groups(chosen, "kind").items()
        },
        "targets": {target: _of_target(group) for target, group in _groups(chosen, "target").items()},
        "failures_by_reason": _counts(request.error for request in failed),
        "first_failures": [{"target": one.target, **_failure(one)} for one in failed[:SHOWN_FAILURES]],
    }


def _of_target(requests: t.Sequence[Request]) -> dict[str, t.Any]:
    """Returns the part of the report on one target; *requests* are in the order of their due times."""
    failed = [request for request in requests if request.error]
    return {
        "requests": len(requests),
        "failures": len(failed),
        "reconnects": sum(request.again for request in requests),
        **_latencies(requests),
        "failures_by_reason": _counts(request.error for request in failed),
        "failures_by_kind": _counts(request.kind for request in failed),
        "first_failure": failed[0].due if failed else None,
        "last_failure": failed[-1].due if failed else None,
        "failed": [_failure(one) for one in failed[:SHOWN_FAILURES_OF_A_TARGET]],
    }


def _failure(request: Request) -> dict[str, t.Any]:
    return {
        "time": request.due,
        "kind": request.kind,
        "method": request.method,
        "reason": request.error,
        "latency_ms": request.latency,
    }


def _counts(values: t.Iterable[str]) -> dict[str, int]:
    return dict(collections.Counter(values).most_common())


def _groups(requests: t.Iterable[Request], field: str) -> dict[str, list[Request]]:
    groups: dict[str, list[Request]] = {}
    for request in requests:
        groups.setdefault(getattr(request, field), []).append(request)
    return dict(sorted(groups.items()))


def _latencies(requests: t.Iterable[Request]) -> dict[str, float | None]:
    ordered = sorted(request.latency for request in requests)
    return {
        "p50_ms": percentile(ordered, 0.50),
        "p95_ms": percentile(ordered, 0.95),
        "p99_ms": percentile(ordered, 0.99),
        "max_ms": ordered[-1] if ordered else None,
    }


if __name__ == "__main__":
    results = Path(sys.argv[1])
    since, until = (None if limit == "-" else float(limit) for limit in sys.argv[2:4])
    # Read before the lines: a request that ends in between is counted twice rather than not at all.
    progress = json.loads(results.with_suffix(".progress").read_text(encoding="utf-8"))
    report = summarise(read(results), since, until, progress["in_flight"])
    json.dump({"as_of": progress["as_of"], **report}, sys.stdout)
