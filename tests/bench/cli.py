# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of the benchmarks."""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
import typing as t

from ..lab.paths import ROOT
from . import (
    demos,
    gates,
    guard,
    labs,
    load_balancers,
    refusals,
    report,
    settings,
    tls,
    traffic,
    verbs,
    watch_page,
    watches,
)
from .labs import say

OUTPUT = ROOT / "tests" / "output"
RESULT = OUTPUT / "bench.json"
PARTS = ("demo", "verbs", "guard", "load_balancers", "refusals", "settings", "switches", "tls", "watches", "gates")
#: These share one lab of topology pair.
ON_PAIR = ("verbs", "guard", "load_balancers", "refusals", "settings", "switches", "tls")

Figures = dict[str, t.Any]


def main(arguments: t.Sequence[str]) -> int:
    """Measures what was chosen, keeps it, prints it. Returns the exit code."""
    chosen = parser().parse_args(arguments)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    measured = measure(chosen, chosen.only or PARTS)
    keep(measured)
    say("\n".join(report.everything(measured)))
    return 0


def parser() -> argparse.ArgumentParser:
    """Returns the description of the options."""
    top = argparse.ArgumentParser(prog="bench.py", description="Measure the figures and print them; nothing is judged.")
    top.add_argument("--only", choices=PARTS, nargs="+", help="these parts (default: all)")
    top.add_argument("--apps", type=int, nargs="*", default=[1, 2, 4, 8], help="fleet sizes (default: 1 2 4 8)")
    top.add_argument("--repeats", type=int, default=3, help="timed runs of each verb (default: 3)")
    top.add_argument("--demo", choices=["cold", "warm"], nargs="*", default=["cold", "warm"], help="default: both")
    top.add_argument("--samples", type=int, default=30, help="timed switches inside the host (default: 30)")
    top.add_argument("--reverts", type=int, default=10, help="timed reverts of the guard (default: 10)")
    top.add_argument("--refusals", type=int, default=5, help="bad releases that gates take back (default: 5)")
    top.add_argument("--switches", type=int, default=1000, help="switches under load (default: 1000)")
    top.add_argument("--pairs", type=int, default=5, help="looks of an HTTP gate beside its requests (default: 5)")
    top.add_argument("--watches", type=int, default=10_000, help="simulated watches a point (default: 10000)")
    top.add_argument("--load-seconds", type=float, default=240.0, help="how long that load lasts (default: 240)")
    top.add_argument("--load-rate", type=float, default=6000.0, help="its requests a second (default: 6000)")
    return top


def measure(chosen: argparse.Namespace, parts: t.Collection[str]) -> Figures:
    """Returns the figures of *parts*."""
    result: Figures = {
        "machine": {"cores": os.cpu_count(), "python": platform.python_version()},
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    if "demo" in parts:
        result["demos"] = [demos.measure(kind) for kind in chosen.demo]
        labs.verb("lab", "down")
    if "gates" in parts:
        result["gates"] = gates.measure(chosen.pairs)
    if "watches" in parts:
        result["watches"] = draw(watches.measure(chosen.watches))
    if "verbs" in parts:
        result["fleets"] = [fleet("fleet", apps, chosen.repeats) for apps in chosen.apps]
        result["pair"] = [fleet("pair", 1, chosen.repeats)]
    if set(parts) & set(ON_PAIR):
        with labs.running("pair", 2) as lab:
            if "verbs" in parts:
                result["pair"].append(verbs.measure(lab, chosen.repeats))
            if "guard" in parts:
                result["switch"] = with_load(lambda: guard.switch(lab, chosen.samples))
                result["revert"] = with_load(lambda: guard.revert(lab, chosen.reverts))
            if "load_balancers" in parts:
                result["load_balancers"] = with_load(lambda: load_balancers.measure(lab))
            # What is refused stays in its slot, stopped: no traffic can go there any more.
            if "refusals" in parts:
                result["refusals"] = with_load(lambda: refusals.measure(lab, chosen.refusals))
            if "settings" in parts:
                result["settings"] = with_load(lambda: settings.measure(lab, chosen.repeats))
            # The last ones: the application does not run any more afterwards.
            if "switches" in parts:
                result["switches"] = with_load(
                    lambda: traffic.measure(lab, chosen.switches, chosen.load_seconds, chosen.load_rate)
                )
            if "tls" in parts:
                result["tls"] = with_load(lambda: tls.measure(lab))
    return {**result, "last_make_test_s": last_test()}


def draw(rows: list[Figures]) -> list[Figures]:
    """Writes the page and the curves of the simulated watches to docs. Returns *rows*."""
    (ROOT / "docs" / "comparison.md").write_text(watch_page.page(rows), encoding="utf-8")
    (ROOT / "docs" / watch_page.PLOT).write_text(watch_page.plot(rows), encoding="utf-8")
    return rows


def fleet(topology: str, apps: int, repeats: int) -> Figures:
    """Returns the figures of a lab with *apps* application hosts; a pair has two load balancers."""
    with labs.running(topology, apps) as lab:
        return verbs.measure(lab, repeats)


def with_load(take: t.Callable[[], Figures]) -> Figures:
    """Returns what *take* measures, and how busy the machine was before."""
    busy = os.getloadavg()[0]
    return {"load_average": busy, **take()}


def last_test() -> int | None:
    """Returns how many seconds the last make test took, when there was one."""
    file = OUTPUT / "test_seconds"
    return int(file.read_text(encoding="utf-8")) if file.exists() else None


def keep(measured: Figures) -> None:
    """Writes the figures; parts that were not measured now stay as an earlier run left them."""
    before = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {}
    RESULT.write_text(json.dumps({**before, **measured}, indent=2) + "\n", encoding="utf-8")
