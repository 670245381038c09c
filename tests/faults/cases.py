# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which faults are injected where: every step, point and fault, and a seeded choice of them. Pure."""

from __future__ import annotations

import random
import typing as t

POINTS = ("before", "between", "after")
SIGNALS = ("KILL", "TERM", "INT", "HUP")
FAULTS = (*SIGNALS, "cut", "reboot", "haproxy", "dockerd", "disk")
#: Journal steps of the load-balancer hosts (both verbs) and of the application hosts (by verb), in order of a run.
LOAD_BALANCER_STEPS = ("begin", "arm", "switch", "confirm")
APPLICATION_STEPS = {"deploy": ("stage", "workers"), "roll_back": ("wake", "workers")}
ORDER = ("begin", "stage", "wake", "arm", "switch", "workers", "confirm")


class Case(t.NamedTuple):
    """One fault: *verb* is stopped at *point* of the journal entry of *step* on *host*, then *fault* strikes.

    *point*: before the line of the begin is written, between (before the line of the end), or after the end.
    """

    verb: str
    step: str
    point: str
    fault: str
    host: str

    @property
    def id(self) -> str:
        """Returns what --case takes."""
        return f"{self.verb}-{self.step}-{self.point}-{self.fault}-{self.host}"

    @property
    def on_application(self) -> bool:
        """Whether the step is one of the application hosts."""
        return self.step not in LOAD_BALANCER_STEPS

    @property
    def victim(self) -> str:
        """Returns the host that the fault strikes ("controller" for signals).

        HAProxy runs on load balancers only and the container engine on application hosts only: a fault of the one at
        a step of the other strikes the host with the same number.
        """
        if self.fault in SIGNALS:
            return "controller"
        number = self.host[-1]
        if self.fault == "haproxy":
            return f"lb{number}"
        return f"app{number}" if self.fault == "dockerd" else self.host


def every() -> list[Case]:
    """Returns all cases. Each step, point and fault meet once; steps that both verbs have take turns between them."""
    cases = []
    for place, step in enumerate(ORDER):
        verbs = [verb for verb in ("deploy", "roll_back") if step in (*LOAD_BALANCER_STEPS, *APPLICATION_STEPS[verb])]
        kind = "lb" if step in LOAD_BALANCER_STEPS else "app"
        for row, point in enumerate(POINTS):
            for column, fault in enumerate(FAULTS):
                turn = place + row + column
                cases.append(Case(verbs[turn % len(verbs)], step, point, fault, f"{kind}{1 + turn // 2 % 2}"))
    return in_turns(cases)


def in_turns(cases: t.Iterable[Case]) -> list[Case]:
    """Returns *cases* with deploy and roll_back in turns: each leaves the fleet as the other wants it."""
    deploys, roll_backs = ([case for case in cases if case.verb == verb] for verb in ("deploy", "roll_back"))
    ordered = []
    while deploys or roll_backs:
        for queue in (deploys, roll_backs):
            if queue:
                ordered.append(queue.pop(0))
    return ordered


def choose(seed: int, count: int, cases: t.Sequence[Case] | None = None) -> list[Case]:
    """Returns *count* of *cases* (default: all), the same for the same *seed*.

    As far as *count* allows, every fault and every step comes up, then every point of a step; the rest is chance.
    """
    pool = list(every() if cases is None else cases)
    random.Random(seed).shuffle(pool)
    chosen: list[Case] = []
    seen: set[object] = set()
    while pool and len(chosen) < count:
        best = max(pool, key=lambda case: _news(case, seen))  # the first one of equals
        pool.remove(best)
        chosen.append(best)
        seen.update((*_marks(best), (best.step, best.point)))
    return in_turns(chosen)


def _marks(case: Case) -> tuple[object, ...]:
    return (case.fault, case.step, case.verb)


def _news(case: Case, seen: set[object]) -> tuple[int, bool]:
    return sum(mark not in seen for mark in _marks(case)), (case.step, case.point) not in seen
