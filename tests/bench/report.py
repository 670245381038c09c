# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables and lines that the benchmark prints. Pure: figures in, text out."""

from __future__ import annotations

import statistics
import typing as t

from . import gates, load_balancers, refusals, settings, tls, watch_page
from .on_host.request_log import percentile

Figures = t.Mapping[str, t.Any]

COLUMNS = (
    ("balancers", "load_balancers", "d"),
    ("app hosts", "apps", "d"),
    ("lab up", "lab_up_s", ".1f"),
    ("provision", "provision_s", ".1f"),
    ("again", "again_s", ".1f"),
    ("changed", "again_changed", "d"),
    ("deploy", "deploy_s", ".1f"),
    ("- gates", "deploy_without_gate_s", ".1f"),
    ("tasks", "deploy_tasks", "d"),
    ("roll_back", "roll_back_s", ".1f"),
    ("tasks", "roll_back_tasks", "d"),
    ("status", "status_s", ".1f"),
)
#: Below the columns: a fleet is provisioned from nothing, then again, and two load balancers roll back.
GOALS = {"provision_s": "< 90", "again_s": "< 15", "again_changed": "0", "roll_back_s": "< 4"}
SWITCH_ROWS = (
    ("command to pointer moved (goal < 50)", "moved_ms"),
    ("command to end (users asked 3 times)", "ended_ms"),
    ("  on a core", "ended_core_ms"),
    ("python3 -I -c pass", "python_ms"),
    ("  on a core", "python_core_ms"),
    ("the same with the program's imports", "imports_ms"),
    ("  on a core", "imports_core_ms"),
)


def fleets(rows: t.Sequence[Figures]) -> list[str]:
    """Returns the wall times of the verbs, one line a fleet."""
    lines = [
        "Seconds, median; images pulled before. The column - gates is deploy without the time of its gates, changed is",
        "of the second provision. Goals are for provision of fleet, and roll_back with two load balancers.",
        "",
    ]
    lines.append("".join(f"{title:>11}" for title, _key, _form in COLUMNS))
    lines.extend("".join(f"{format(row[key], form):>11}" for _title, key, form in COLUMNS) for row in rows)
    lines.append(f"{'goal':>11}" + "".join(f"{GOALS.get(key, ''):>11}" for _title, key, _form in COLUMNS[1:]))
    return lines


def demo(found: Figures) -> list[str]:
    """Returns how one demo went."""
    return [
        f"Demo, {found['kind']}: {found['seconds']:.0f} s, {found['requests']} requests at {found['rate']}/s, "
        f"{found['failures']} failures, p50 {found['p50_ms']} ms, p99 {found['p99_ms']} ms."
    ]


def switch(found: Figures) -> list[str]:
    """Returns what a switch inside the host took, in ms."""
    samples = found["samples"]
    lines = [f"Switch inside the host, drain excluded: ms, {len(samples)} samples{_busy(found)}.", ""]
    lines.append(f"{'':<38}{'min':>9}{'p50':>9}{'p95':>9}{'max':>9}")
    for title, key in SWITCH_ROWS:
        ordered = sorted(float(sample[key]) for sample in samples)
        shown = [ordered[0], *(percentile(ordered, share) or 0.0 for share in (0.5, 0.95, 1.0))]
        lines.append(f"{title:<38}" + "".join(f"{value:>9.1f}" for value in shown))
    return lines


def revert(found: Figures) -> list[str]:
    """Returns how late the guard's reverts were, in s after the deadline."""
    late = sorted(float(one) for one in found["late_s"])
    return [
        f"Guard revert: the pointer was back {statistics.median(late):.2f} s after the deadline (p50), at most "
        f"{late[-1]:.2f} s, {len(late)} samples (goal 0.5){_busy(found)}."
    ]


def switches(found: Figures) -> list[str]:
    """Returns what many switches under load did to its requests."""
    h2load, log = found["h2load"], found["log"]
    done = len(found["switches"])
    took = sorted(1000 * float(one["seconds"]) for one in found["switches"])
    per_slot = ", ".join(f"{slot} {counted['req_tot']}" for slot, counted in sorted(found["haproxy"].items()))
    retries = sum(counted["wretr"] + counted["wredis"] for counted in found["haproxy"].values())
    requests = h2load["requests"]
    statuses = ", ".join(f"{count} {name}" for name, count in h2load["statuses"].items())
    latency = ", ".join(f"{name} {_ms(log[f'{name}_ms'])}" for name in ("p50", "p95", "p99", "max"))
    wall = ", ".join(
        f"{name} {_ms(percentile(took, share))}" for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1))
    )
    return [
        f"Switches under load: {done} done, {log['moments_within']} of them during the load"
        f"{_busy(found)}; guarded: false, in one process.",
        f"  answers    by the slot with the traffic before and after {found['answered_by_the_right_slot']} of them",
        f"  requests   {requests['total']} at {h2load['rate']:.0f}/s (asked: {found['asked_rate']:.0f}/s, goal 5000) "
        f"on {found['connections']} connections in {h2load['seconds']:.1f} s",
        f"  failures   {h2load['failures']} (goal 0; failed {requests['failed']}, errored {requests['errored']}, "
        f"timeout {requests['timeout']}; {statuses})",
        f"  latency    {latency}",
        f"  by slot    {per_slot}; HAProxy tried {retries} requests again",
        f"  a switch   {wall}",
    ]


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} ms"


def _busy(found: Figures) -> str:
    """Returns how busy the machine was before, where that is known."""
    return f", load average before {found['load_average']:.1f}" if "load_average" in found else ""


def everything(result: Figures) -> list[str]:
    """Returns all that *result* has, as lines."""
    lines: list[str] = []
    if rows := [*result.get("fleets", []), *result.get("pair", [])]:
        lines += ["", *fleets(rows)]
    for key, part in (
        ("switch", switch),
        ("revert", revert),
        ("load_balancers", load_balancers.lines),
        ("refusals", refusals.lines),
        ("switches", switches),
        ("tls", tls.lines),
        ("settings", settings.lines),
    ):
        if key in result:
            lines += ["", *part(result[key])]
    if "gates" in result:
        lines += ["", *gates.lines(result["gates"])]
    if "watches" in result:
        lines += ["", *watch_page.table(result["watches"]), "", watch_page.summary(result["watches"])]
    for found in result.get("demos", []):
        lines += ["", *demo(found)]
    if result.get("last_make_test_s"):
        lines.append(f"Last make test: {result['last_make_test_s'] / 60:.1f} min (goal < 60).")
    return lines
