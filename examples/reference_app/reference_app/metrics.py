# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counters of one web process, as Prometheus text and as numbers. Standard library only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # s
PREFIX = "reference_app"


class Metrics:
    """Counts requests, their durations and the use of the cache."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, int]] = Counter()  # (method, status) -> number
        self.buckets = [0] * (len(BOUNDS) + 1)
        self.seconds = 0.0
        self.in_flight = 0
        self.cache_hits = 0
        self.cache_misses = 0

    def count(self, method: str, status: int, seconds: float) -> None:
        """Counts one answered request."""
        self.requests[method, status] += 1
        self.seconds += seconds
        self.buckets[next((at for at, bound in enumerate(BOUNDS) if seconds <= bound), len(BOUNDS))] += 1

    def hit_rate_percent(self) -> float | None:
        """Returns the share of cache look-ups that were hits, in percent; None before the first look-up."""
        total = self.cache_hits + self.cache_misses
        return round(100 * self.cache_hits / total, 2) if total else None

    def summary(self) -> dict[str, int]:
        """Returns the number of requests, of answers with status 5xx, and of requests in flight."""
        errors = sum(number for (_method, status), number in self.requests.items() if status >= 500)
        return {"total": self.requests.total(), "errors": errors, "in_flight": self.in_flight}

    def exposition(self, identity: Mapping[str, str], gauges: Mapping[str, float]) -> str:
        """Returns the Prometheus text format, version 0.0.4."""
        labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in identity.items())
        lines = [f"# TYPE {PREFIX}_info gauge", f"{PREFIX}_info{{{labels}}} 1"]
        lines.append(f"# TYPE {PREFIX}_requests_total counter")
        for (method, status), number in sorted(self.requests.items()):
            lines.append(f'{PREFIX}_requests_total{{method="{_escaped(method)}",status="{status}"}} {number}')
        lines.append(f"# TYPE {PREFIX}_request_seconds histogram")
        below = 0
        for bound, number in zip((*BOUNDS, "+Inf"), self.buckets):
            below += number
            lines.append(f'{PREFIX}_request_seconds_bucket{{le="{bound}"}} {below}')
        lines += [f"{PREFIX}_request_seconds_sum {self.seconds:.6f}", f"{PREFIX}_request_seconds_count {below}"]
        for name, number in (("cache_hits_total", self.cache_hits), ("cache_misses_total", self.cache_misses)):
            lines += [f"# TYPE {PREFIX}_{name} counter", f"{PREFIX}_{name} {number}"]
        for name, value in {"requests_in_flight": self.in_flight, **gauges}.items():
            lines += [f"# TYPE {PREFIX}_{name} gauge", f"{PREFIX}_{name} {value:g}"]
        return "\n".join(lines) + "\n"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
