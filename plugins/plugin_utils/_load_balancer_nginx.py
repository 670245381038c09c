# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may be asked of a load balancer, but nginx cannot do. Pure. PRIVATE."""

from __future__ import annotations

import typing as t

_DEFAULT_QUEUE = 10

Settings = t.Mapping[str, t.Any]


def problems(settings: Settings) -> t.Iterator[str]:
    """Yields one sentence for each problem that only nginx has; _load_balancer.problems() yields those of both."""
    for look in (_missing, _limits, _protected):
        yield from look(settings)


def _missing(settings: Settings) -> t.Iterator[str]:
    asked = {
        "slow_start": (int(settings["slow_start"]) > 0, "nginx lets an instance grow into its share only in its Plus"),
        "timeout_queue": (
            int(settings["timeout_queue"]) != _DEFAULT_QUEUE,
            "nginx has no queue: who finds no instance is answered at once",
        ),
        "maintenance": (settings["maintenance"] == "active", "nginx has no page that begins without a reload"),
        "exporter_address": (bool(settings["exporter_address"]), "nginx has no metrics for Prometheus of its own"),
        "virtual_addresses": (bool(settings["virtual_addresses"]), "keepalived watches HAProxy only"),
    }
    for name, (wanted, reason) in asked.items():
        if wanted:
            yield f"load_balancer_{name}: {reason}. Leave it as it is by default, or use load_balancer_driver: haproxy."


def _limits(settings: Settings) -> t.Iterator[str]:
    for number, limit in enumerate(settings["rate_limits"], start=1):
        requests, seconds = limit.get("requests"), limit.get("seconds")
        # What is no number at all is told for both.
        if isinstance(requests, int) and isinstance(seconds, int) and 0 < requests * 60 < seconds:
            where = f"load_balancer_rate_limits, entry {number}"
            yield f"{where}: nginx counts by the minute: expected at least one request a minute, found {dict(limit)}."


def _protected(settings: Settings) -> t.Iterator[str]:
    paths = [str(protected.get("path", "")) for protected in settings["protected_paths"]]
    for number, path in enumerate(paths):
        within = [one for one in paths[:number] if path.lower().startswith(one.lower())]
        if within:
            where = f"load_balancer_protected_paths, {path}"
            yield f"{where}: nginx looks at the first entry only; {within[0]} comes before: put the longer path first."
