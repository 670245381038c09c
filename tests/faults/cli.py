# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of the fault suite."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
import typing as t
from pathlib import Path

from ..lab.paths import ROOT
from . import cases, pool, report, runs
from .cases import Case
from .fleet import Fleet
from .one_case import Result

OUTPUT = ROOT / "tests" / "output" / "faults"
#: Beside a fleet that waits for its guard, another one can work. The first has two application hosts, and takes the
#: cases that need them; the others have one, which saves a third of the work on the cores that all of them share.
JOBS = 3
#: So few cases are not worth another fleet, which takes a minute or two to make: by the most cases, fleets for them.
FEW = {8: 1, 100: 2}


def main(arguments: t.Sequence[str]) -> int:
    """Returns the exit code: 0 when every case passed."""
    chosen = parser().parse_args(arguments)
    wanted = choose(chosen)
    if chosen.list:
        for case in wanted:
            print(case.id)
        return 0
    shutil.rmtree(OUTPUT, ignore_errors=True)
    jobs = chosen.jobs or next((fleets for most, fleets in FEW.items() if len(wanted) <= most), JOBS)
    times = runs.Times(guard=chosen.deadline, lease=chosen.lease)
    fleets = [make_fleet(name, times, 1 if place else 2) for place, name in enumerate(names(chosen.name, jobs))]
    started = time.monotonic()
    results: list[Result] = []

    def done(fleet: Fleet, result: Result) -> None:
        if not result.passed:
            write_evidence(result)
        results.append(result)
        say(line(len(results), fleet.name, result))
        seconds = time.monotonic() - started
        keep(results, report.Facts(len(wanted), seconds, os.cpu_count() or 1, jobs, *times))

    say(f"{len(wanted)} cases; fleets have two load balancers, the first has two application hosts; all under load")
    say(header())
    try:
        pool.run(fleets, wanted, done, keep=chosen.keep)
    finally:
        passed = sum(result.passed for result in results)
        minutes = (time.monotonic() - started) / 60
        missing = f" ({len(wanted) - len(results)} more were not run)" if len(results) < len(wanted) else ""
        say(f"\n{minutes:.1f} min in all{missing}\nfaults: {len(wanted)} cases, {passed} passed")
    return 0 if passed == len(wanted) else 1


def names(first: str, jobs: int) -> list[str]:
    """Returns the names of *jobs* labs: faults, faults2 and so on. Pure."""
    return [first, *(f"{first}{number}" for number in range(2, jobs + 1))]


def make_fleet(name: str, times: runs.Times, applications: int) -> Fleet:
    """Returns the fleet called *name* with so many *applications* hosts; what it says is marked with its name."""
    return Fleet(name, OUTPUT / "runs" / name, times, lambda text: say(f"    {name}: {text}"), applications)


def parser() -> argparse.ArgumentParser:
    """Returns the description of the options."""
    top = argparse.ArgumentParser(prog="faults.py", description="Kill a rollout at every step, under load.")
    top.add_argument("--list", action="store_true", help="only list the cases")
    top.add_argument("--seed", type=int, default=1, help="chooses the cases of --count (default: 1)")
    top.add_argument("--count", type=int, help="so many cases, chosen by --seed (default: all)")
    top.add_argument("--case", action="append", default=[], metavar="ID", help="this case; may be given several times")
    top.add_argument("--keep", action="store_true", help="leave the labs up")
    top.add_argument("--name", default="faults", help="name of the first lab (default: faults)")
    top.add_argument("--jobs", type=int, help=f"fleets side by side (default: {JOBS}, or fewer for a few cases)")
    top.add_argument("--deadline", type=float, default=runs.Times().guard, help="of the guard, in seconds")
    top.add_argument("--lease", type=float, default=runs.Times().lease, help="of the run, in seconds")
    return top


def choose(chosen: argparse.Namespace) -> list[Case]:
    """Returns the cases to run, in order. Ends the program when an id is not known."""
    every = cases.every()
    if chosen.case:
        known = {case.id: case for case in every}
        unknown = [name for name in chosen.case if name not in known]
        if unknown:
            raise SystemExit(f"There is no case {', '.join(unknown)}; --list shows them all.")
        return [known[name] for name in chosen.case]
    return every if chosen.count is None else cases.choose(chosen.seed, chosen.count)


def write_evidence(result: Result) -> Path:
    """Keeps everything that was seen in a failed case. Returns the file."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    file = OUTPUT / f"{result.case.id}.json"
    content = {"problems": result.problems, "found": result.found, **result.evidence}
    file.write_text(json.dumps(content, indent=2, default=str) + "\n", encoding="utf-8")
    return file


def keep(results: t.Sequence[Result], facts: report.Facts) -> None:
    """Writes what there is so far: faults.json for programs, faults.md for docs."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    rows = [
        {**one.case._asdict(), "id": one.case.id, "seconds": round(one.seconds, 1), "found": one.found}
        | {"passed": one.passed, "problems": one.problems}
        | ({"sent": one.requests.sent, "failed": one.requests.failed} if one.requests else {})
        for one in results
    ]
    (OUTPUT / "faults.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    (OUTPUT / "faults.md").write_text(report.render(results, facts), encoding="utf-8")


def header() -> str:
    """Returns the first line of the table."""
    return f"{'':>4} {'case':<40} {'fleet':<8} {'seconds':>7}  {'verdict':<7}  what the runs said"


def line(number: int, fleet: str, result: Result) -> str:
    """Returns the line of one case, and under it what was wrong. Pure."""
    verdict = "passed" if result.passed else "FAILED"
    text = f"{number:>4} {result.case.id:<40} {fleet:<8} {result.seconds:>7.1f}  {verdict:<7}  {result.found}"
    return "\n".join([text, *(f"         {problem}" for problem in result.problems)])


def say(text: str) -> None:
    """Writes a line at once."""
    print(text, flush=True)
