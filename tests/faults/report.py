# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of a run of the fault suite as a page for docs. Pure."""

from __future__ import annotations

import typing as t

from .cases import FAULTS, ORDER, Case
from .one_case import Result

FAULT_WORDS = {
    "cut": "network cut",
    "reboot": "host reboot",
    "haproxy": "HAProxy killed",
    "dockerd": "dockerd restarted",
    "disk": "disk full",
}
RESUMED, GUARD = "resumed", "guard"
HEAD = """\
# What was killed, and what users saw

`make faults` runs every case on real hosts: two load balancers, PostgreSQL, Redis, and application hosts (two where a
fault takes one of them down, else one or two), with users who ask both load balancers all the time. A deploy or a roll
back is stopped at an exact line of a journal, the fault strikes the driving process or a host, and the line goes on.
Then the suite asks, without any code of the product:

- did a request fail that the fault itself did not take with it?
- within the guard's deadline and 2 s, is exactly one healthy slot live on every load balancer, the one on record?
- does the same command again end well, with no manual step, and say on every host what it found there?
- do journals, histories, containers and traffic tell one story: all armed, then all switched, then all confirmed, and
  an exit code of 0 only for a release that is live?

A cell is passed/all: each step, point (before its begin, between begin and end, after its end) and fault meets once. At
steps that deploy and roll back share, one of the three points is that of a deploy, two of a roll back. `shift` gives
half of the users the release; the lines of `watch` are those of a process on a load balancer that looks on before the
release is confirmed, and by its end the run has gone on to that; `adopt` is the step of a load balancer that was left
behind; `revert`, `stop`, `withhold` and `end` are those of a run that takes itself back; `resumed` are runs that the
next one goes on with; in `guard` the run is dead already, and the fault strikes the guard (SIGKILL: its process) in the
middle of its revert."""


class Facts(t.NamedTuple):
    """Of a run: how many cases were *wanted*, how long it took, on what, deadlines of guard and lease in seconds."""

    wanted: int
    seconds: float
    cores: int
    fleets: int
    guard: float
    lease: float


def render(results: t.Sequence[Result], facts: Facts) -> str:
    """Returns the page in Markdown: the grid of steps and faults, what users saw, what failed."""
    passed = sum(one.passed for one in results)
    parts = [
        HEAD,
        f"{facts.wanted} cases, {passed} passed{_lost(results, facts)}, in {facts.seconds / 60:.0f} min "
        f"on {facts.cores} cores ({_fleets(facts.fleets)}; guard deadline {facts.guard:g} s, lease {facts.lease:g} s; "
        f"{_mean(results):.0f} s a case).",
        _grid(results),
        _users(results),
        _failures(results),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def row_of(case: Case) -> str:
    """Returns the row of *case* in the grid: its step, that its next run went on, or that the guard was struck."""
    return case.scenario if case.scenario in (RESUMED, GUARD) else case.step


def _lost(results: t.Sequence[Result], facts: Facts) -> str:
    lost = facts.wanted - len(results)
    return f" ({lost} not run)" if lost else ""


def _fleets(count: int) -> str:
    return "one fleet" if count == 1 else f"{count} fleets side by side"


def _mean(results: t.Sequence[Result]) -> float:
    return sum(one.seconds for one in results) / len(results) if results else 0.0


def _grid(results: t.Sequence[Result]) -> str:
    """Returns passed/all for each step and fault."""
    lines = [
        _line(["step", *(FAULT_WORDS.get(fault, f"SIG{fault}") for fault in FAULTS)]),
        _line(["---"] * (len(FAULTS) + 1)),
    ]
    for step in (*ORDER, RESUMED, GUARD):
        mine = [one for one in results if row_of(one.case) == step]
        if mine:
            cells = [_share([one for one in mine if one.case.fault == fault]) for fault in FAULTS]
            lines.append(_line([step, *cells]))
    return "\n".join(lines)


def _share(results: t.Sequence[Result]) -> str:
    return f"{sum(one.passed for one in results)}/{len(results)}" if results else ""


def _users(results: t.Sequence[Result]) -> str:
    """Returns how many requests were sent, and which failed with the faults themselves."""
    told = [(one, one.requests) for one in results if one.requests is not None]
    sent, failed = sum(seen.sent for _one, seen in told), sum(seen.failed for _one, seen in told)
    excused = sum(sum(seen.excused.values()) for _one, seen in told)
    lines = [f"Requests sent: {sent}; failed: {failed}, of which {excused} with the fault itself:"]
    if not excused:
        return f"Requests sent: {sent}; failed: {failed}."
    lines += ["", _line(["fault", "cases", "failed requests", "why"]), _line(["---"] * 4)]
    for fault in FAULTS:
        mine = [(one, seen) for one, seen in told if one.case.fault == fault and seen.excused]
        if mine:
            count = sum(sum(seen.excused.values()) for _one, seen in mine)
            why = "; ".join(sorted({_anywhere(one) for one, _seen in mine}))
            lines.append(_line([FAULT_WORDS.get(fault, fault), str(len(mine)), str(count), why]))
    return "\n".join(lines)


def _anywhere(result: Result) -> str:
    """Returns why requests were excused, for any host of the kind."""
    kind = "a load balancer" if result.case.victim.startswith("lb") else "an application host"
    return result.because.replace(result.case.victim, kind)


def _failures(results: t.Sequence[Result]) -> str:
    wrong = [one for one in results if not one.passed]
    if not wrong:
        return ""
    lines = [f"- {one.case.id}: {problem}" for one in wrong for problem in one.problems]
    return "\n".join(["Not passed:", "", *lines])


def _line(cells: t.Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
