# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which faults are injected where: every scenario, step, point and fault, and a seeded choice of them. Pure."""

from __future__ import annotations

import random
import typing as t

POINTS = ("before", "between", "after")
SIGNALS = ("KILL", "TERM", "INT", "HUP")
FAULTS = (*SIGNALS, "cut", "reboot", "haproxy", "dockerd", "disk")
#: Journal steps on the load-balancer hosts; all others are steps on the application hosts.
LOAD_BALANCER_STEPS = ("begin", "adopt", "arm", "shift", "switch", "watch", "confirm", "revert", "end")
#: The steps of a run that goes well, by verb.
STEPS = {
    "deploy": ("begin", "stage", "arm", "switch", "workers", "confirm", "retire"),
    "roll_back": ("begin", "wake", "arm", "switch", "workers", "confirm", "retire"),
}
#: The steps by which a run takes itself back that is refused after its switch; a roll back withholds no release.
REFUSED_STEPS = ("revert", "stop", "withhold", "end")
DEPLOY_ALONE = ("stage", "withhold")
#: Everything, in order of a run.
ORDER = (
    *("begin", "adopt", "stage", "wake", "arm", "shift", "switch", "workers", "watch", "confirm", "retire"),
    *REFUSED_STEPS,
)
SCENARIOS = ("plain", "shifted", "watched", "refused", "behind", "resumed", "guard")
#: While their gates look, a run that lives renews its guard: the deadline is not that of the arming.
RENEWED = ("shifted", "watched")
#: What strikes the guard itself while it takes a switch back: KILL is for its own process.
GUARD_FAULTS = ("KILL", "reboot", "haproxy", "disk")


class Case(t.NamedTuple):
    """One fault: *verb* is stopped at *point* of the journal entry of *step* on *host*, then *fault* strikes.

    *point*: before the line of the begin is written, between (before the line of the end), or after the end.
    *scenario*: plain; shifted (users get the release in shares); watched (gates look on before it is confirmed, and the
    line is that of the process on *host* that looks, not of the run); refused (a run that fails its verification after
    the switch and takes itself back, when the fault strikes); behind (*host* did not confirm the release before, so
    this run lets it follow); resumed (the next run goes on with the release where the dead one was cut off, instead of
    taking it back); guard (the run was killed after its switch, and *step* is the revert of the guard of *host*, which
    the fault strikes).
    """

    verb: str
    step: str
    point: str
    fault: str
    host: str
    scenario: str = "plain"

    @property
    def id(self) -> str:
        """Returns what --case takes."""
        kind = self.scenario if self.scenario in ("refused", "resumed", "guard") else self.verb
        return f"{kind}-{self.step}-{self.point}-{self.fault}-{self.host}"

    @property
    def on_application(self) -> bool:
        """Whether the step is one of the application hosts."""
        return self.step not in LOAD_BALANCER_STEPS

    @property
    def victim(self) -> str:
        """Returns the host that the fault strikes ("controller" for signals to the run).

        HAProxy runs on load balancers only and the container engine on application hosts only: a fault of the one at
        a step of the other strikes the host with the same number.
        """
        if self.fault in SIGNALS:
            return self.host if self.scenario == "guard" else "controller"
        number = self.host[-1]
        if self.fault == "haproxy":
            return f"lb{number}"
        return f"app{number}" if self.fault == "dockerd" else self.host

    @property
    def needs_two(self) -> bool:
        """Whether a fleet with one application host will not do.

        The second one is meant, or the fault takes an application host or the way to its containers: with one host
        that would be the only path of the users.
        """
        only_path = self.fault in ("reboot", "dockerd") and self.victim.startswith("app")
        return only_path or "app2" in (self.host, self.victim)


def every() -> list[Case]:
    """Returns all cases, deploy and roll_back in turns."""
    return in_turns([*_plain(), *_shifted(), *_watched(), *_refused(), *_behind(), *_resumed(), *_guard()])


def _plain() -> list[Case]:
    steps = tuple(dict.fromkeys((*STEPS["deploy"], "wake")))
    return _met(steps, "plain", lambda step: [verb for verb in STEPS if step in STEPS[verb]])


def _shifted() -> list[Case]:
    """A roll back takes all users at once."""
    return _met(("shift",), "shifted", lambda _step: ["deploy"])


def _watched() -> list[Case]:
    """A roll back is watched only once it is confirmed, when there is nothing to take back."""
    return _met(("watch",), "watched", lambda _step: ["deploy"])


def _refused() -> list[Case]:
    return _met(REFUSED_STEPS, "refused", lambda step: ["deploy"] if step in DEPLOY_ALONE else list(STEPS))


def _behind() -> list[Case]:
    """A roll back lets nobody follow to the release that all shall leave: it has no such step."""
    return _met(("adopt",), "behind", lambda _step: ["deploy"])


def _met(steps: t.Sequence[str], scenario: str, verbs_of: t.Callable[[str], list[str]]) -> list[Case]:
    """Each step, point and fault meet once, not once a verb.

    At steps that both verbs have, a deploy meets each fault at one of the points and a roll back at the two others: it
    takes half as long, and does there what a deploy does.
    """
    cases = []
    for place, step in enumerate(steps):
        verbs = verbs_of(step)
        for row, point in enumerate(POINTS):
            for column, fault in enumerate(FAULTS):
                turn = place + row + column
                verb = verbs[0] if turn % 3 == 0 else verbs[-1]
                cases.append(Case(verb, step, point, fault, _host(step, turn // 2), scenario))
    return cases


def _resumed() -> list[Case]:
    """Killed between switch and confirmation."""
    places = (("switch", "after", "lb1"), ("workers", "between", "app1"), ("workers", "after", "app2"))
    return [Case("deploy", step, point, "KILL", host, "resumed") for step, point, host in places]


def _guard() -> list[Case]:
    """Each fault at one point of the guard's revert, a kill at all of them."""
    places = [("KILL", point) for point in POINTS] + [(fault, "between") for fault in GUARD_FAULTS[1:]]
    return [
        Case("roll_back", "revert", point, fault, _host("revert", turn), "guard")
        for turn, (fault, point) in enumerate(places)
    ]


def _host(step: str, turn: int) -> str:
    return f"{'lb' if step in LOAD_BALANCER_STEPS else 'app'}{1 + turn % 2}"


def in_turns(cases: t.Iterable[Case]) -> list[Case]:
    """Returns *cases* with deploy and roll_back in turns: each leaves the fleet as the other wants it."""
    queue, ordered = list(cases), list[Case]()
    while case := take(queue, may_roll_back=bool(ordered) and ordered[-1].verb == "deploy"):
        ordered.append(case)
    return ordered


def take(queue: list[Case], *, may_roll_back: bool, applications: int = 2) -> Case | None:
    """Takes the next case for a fleet with so many *applications* hosts from *queue*; None when none is fit for it.

    Of two roll backs in a row, the second one needs a deploy before. A deploy may follow anything, so roll backs go
    first where they can; and a fleet with two application hosts takes first what no other one can.
    """
    fit = [case for case in queue if applications > 1 or not case.needs_two]
    if not fit:
        return None
    verb = "roll_back" if may_roll_back else "deploy"
    best = min(fit, key=lambda case: (case.verb != verb, not case.needs_two))  # the first one of equals
    queue.remove(best)
    return best


def choose(seed: int, count: int, cases: t.Sequence[Case] | None = None) -> list[Case]:
    """Returns *count* of *cases* (default: all), the same for the same *seed*.

    As far as *count* allows, every step, fault and scenario comes up, then every point; the rest is chance.
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
    return (case.fault, case.step, case.verb, case.point, case.scenario)


def _news(case: Case, seen: set[object]) -> tuple[int, bool]:
    return sum(mark not in seen for mark in _marks(case)), (case.step, case.point) not in seen
