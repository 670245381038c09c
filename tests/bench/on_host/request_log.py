# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sums up the log of h2load on the client host: a line per request with its start (µs since 1970), status and µs.

Standard input: {"log": path, "moments": [s since 1970]}. Half a million lines stay here, and a summary goes back.
"""

from __future__ import annotations

import collections
import json
import math
import sys
import typing as t

Json = dict[str, t.Any]


def percentile(ordered: t.Sequence[float], share: float) -> float | None:
    """Returns the nearest-rank percentile of sorted values (share 0 to 1), or None when there are none. Pure."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def summary(lines: t.Iterable[str], moments: t.Sequence[float]) -> Json:
    """Returns statuses, latencies in ms, the span in s since 1970, and how many of *moments* lie within it. Pure."""
    statuses: collections.Counter[str] = collections.Counter()
    took: list[int] = []
    first, last = math.inf, -math.inf
    for line in lines:
        began, status, micros = (int(field) for field in line.split("\t")[:3])
        statuses[str(status)] += 1
        took.append(micros)
        first, last = min(first, began / 1e6), max(last, (began + micros) / 1e6)
    took.sort()
    shown = {
        name: percentile(took, share) for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0))
    }
    return {
        "statuses": dict(statuses),
        **{f"{name}_ms": None if value is None else value / 1000 for name, value in shown.items()},
        "span_s": last - first if took else 0.0,
        "moments_within": sum(first <= moment <= last for moment in moments),
    }


if __name__ == "__main__":
    wanted = json.load(sys.stdin)
    with open(wanted["log"], encoding="ascii") as handle:
        json.dump(summary(handle, wanted["moments"]), sys.stdout)
