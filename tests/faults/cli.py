# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of the fault suite."""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import time
import typing as t
from pathlib import Path

from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import RolloutError

from ..lab.paths import ROOT
from . import cases, runs
from .cases import Case
from .fleet import Broken, Fleet
from .one_case import OneCase, Result

OUTPUT = ROOT / "tests" / "output" / "faults"


def main(arguments: t.Sequence[str]) -> int:
    """Returns the exit code: 0 when every case passed."""
    chosen = parser().parse_args(arguments)
    wanted = choose(chosen)
    if chosen.list:
        for case in wanted:
            print(case.id)
        return 0
    shutil.rmtree(OUTPUT, ignore_errors=True)
    fleet = Fleet(chosen.name, OUTPUT / "runs", runs.Times(guard=chosen.deadline, lease=chosen.lease))
    started = time.monotonic()
    results: list[Result] = []
    try:
        say(f"Fleet {chosen.name}: two load balancers, two application hosts, under load")
        fleet.up()
        say(f"  ready in {time.monotonic() - started:.0f} s\n\n{header()}")
        for number, case in enumerate(wanted, start=1):
            results.append(attempt(fleet, case))
            say(line(number, results[-1]))
            keep(results)
    finally:
        if chosen.keep:
            fleet.leave()
        else:
            fleet.down()
    passed = sum(result.passed for result in results)
    say(f"\n{(time.monotonic() - started) / 60:.1f} min in all\nfaults: {len(results)} cases, {passed} passed")
    return 0 if passed == len(wanted) else 1


def parser() -> argparse.ArgumentParser:
    """Returns the description of the options."""
    top = argparse.ArgumentParser(prog="faults.py", description="Kill a rollout at every step, under load.")
    top.add_argument("--list", action="store_true", help="only list the cases")
    top.add_argument("--seed", type=int, default=1, help="chooses the cases of --count (default: 1)")
    top.add_argument("--count", type=int, help="so many cases, chosen by --seed (default: all)")
    top.add_argument("--case", action="append", default=[], metavar="ID", help="this case; may be given several times")
    top.add_argument("--keep", action="store_true", help="leave the lab up")
    top.add_argument("--name", default="faults", help="name of the lab (default: faults)")
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


def attempt(fleet: Fleet, case: Case) -> Result:
    """Runs one case; a fleet that does not come to rest afterwards is made anew, and that is said."""
    started = time.time()
    one = OneCase(fleet, case)
    try:
        result = one.run()
    except (Broken, RolloutError, OSError, ValueError) as error:
        problems = [*one.problems, f"{type(error).__name__}: {error}"]
        result = Result(case, time.time() - started, "; ".join(one.notes), problems, one.evidence)
    if not result.passed:
        with contextlib.suppress(RolloutError):
            one.gather()
        write_evidence(result)
        rescue(fleet)
    return result


def rescue(fleet: Fleet) -> None:
    """After a case that failed: the next one must not pay for it."""
    try:
        fleet.heal()
        fleet.rest()
    except (Broken, RolloutError) as error:
        say(f"    the fleet is broken and made anew: {str(error).splitlines()[0]}")
        fleet.down()
        fleet.up()


def write_evidence(result: Result) -> Path:
    """Keeps everything that was seen in a failed case. Returns the file."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    file = OUTPUT / f"{result.case.id}.json"
    content = {"problems": result.problems, "found": result.found, **result.evidence}
    file.write_text(json.dumps(content, indent=2, default=str) + "\n", encoding="utf-8")
    return file


def keep(results: t.Sequence[Result]) -> None:
    """Writes the table so far, for people and for docs."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    rows = [
        {**one.case._asdict(), "id": one.case.id, "seconds": round(one.seconds, 1), "found": one.found}
        | {"passed": one.passed, "problems": one.problems}
        for one in results
    ]
    (OUTPUT / "faults.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


def header() -> str:
    """Returns the first line of the table."""
    return f"{'':>4} {'case':<40} {'seconds':>7}  {'verdict':<7}  what the runs said"


def line(number: int, result: Result) -> str:
    """Returns the line of one case, and under it what was wrong. Pure."""
    verdict = "passed" if result.passed else "FAILED"
    text = f"{number:>4} {result.case.id:<40} {result.seconds:>7.1f}  {verdict:<7}  {result.found}"
    return "\n".join([text, *(f"         {problem}" for problem in result.problems)])


def say(text: str) -> None:
    """Writes a line at once."""
    print(text, flush=True)
