# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One case from beginning to end: stop a run at its line, let the fault strike, look, run again, look again."""

from __future__ import annotations

import time
import typing as t

from . import injections, looks, runs, scenarios, verdicts
from .cases import RENEWED, SIGNALS, Case
from .fleet import RATE, RUN_SECONDS, VERSIONS, Fleet
from .looks import LOAD_BALANCERS, Look
from .stops import Stop

SETTLE_SECONDS = 2.0
REACH_SECONDS = 120.0
#: How long a step on an application host may outlive the run that asked for it.
WORK_SECONDS = 60.0
#: How long a run may live on after a signal that ends it, once the process that it waits for goes on.
DEATH_SECONDS = 15.0
#: A cut lasts until the guard has fired and a little longer: then the run hears from the host again.
CUT_LONGER_SECONDS = 1.5
#: A guard that was killed is started again by systemd.
RESTART_SECONDS = 1.0
POLL_SECONDS = 0.5


class Result(t.NamedTuple):
    """How a case ended: *found* is what the next run said or what else is worth a word, *problems* what was wrong."""

    case: Case
    seconds: float
    found: str
    problems: list[str]
    evidence: dict[str, t.Any]
    requests: verdicts.Requests | None = None
    because: str = ""

    @property
    def passed(self) -> bool:
        """Whether everything was as it must be."""
        return not self.problems


class OneCase:
    """The state of one case on *fleet*."""

    def __init__(self, fleet: Fleet, case: Case) -> None:
        self.fleet = fleet
        self.case = case
        self.problems: list[str] = []
        self.notes: list[str] = []
        self.evidence: dict[str, t.Any] = {"case": case._asdict()}
        self.requests: verdicts.Requests | None = None
        self.because = ""
        self._first: dict[str, int] = {}
        self._struck = self._over = 0.0
        self._released = 0.0  # boottime
        self._lasts = False
        self._code: int | None = None
        self._status: dict[str, str] = {}
        self._left = False
        self._more: tuple[str, ...] = ()
        self._renewed: dict[str, float] = {}
        self._at_death: dict[str, Look] = {}

    def run(self) -> Result:
        """Runs the case. Raises Broken when the fleet is not fit for a case before or after it."""
        started = time.time()
        version = self._ready()
        injections.prepare(self.fleet.lab, self.case)
        begun = time.time()
        try:
            dead = self._strike(version)
            self._unfinished()
            again = self._again(version, dead)
            ended = time.time()
            if again is not None:
                self._truth(again)
            self._requests(begun, ended)  # last: by now no request of before is still in flight
        finally:
            injections.undo(self.fleet.lab, self.case)
        return self.result(time.time() - started)

    def result(self, seconds: float) -> Result:
        """Returns what has become of it so far."""
        found = "; ".join(self.notes)
        return Result(self.case, seconds, found, self.problems, self.evidence, self.requests, self.because)

    def _ready(self) -> str | None:
        """Brings the fleet to where the verb has something to do. Returns the version to deploy."""
        fleet, case = self.fleet, self.case
        fleet.ensure_load()
        leader, behind = scenarios.leader(case), case.scenario == "behind"
        seen = fleet.rest()
        if behind:
            scenarios.leave_behind(fleet, case.host)
            seen = fleet.rest(agreed=False)
        elif case.verb == "roll_back" and not looks.may_roll_back(seen[leader]):
            fleet.play("deploy", fleet.known_versions()[1])
            seen = fleet.rest()
        self._first = {name: len(one.journal) + one.torn for name, one in seen.items()}
        self.evidence["live_before"] = looks.live_release(seen[leader])
        if case.verb == "roll_back":
            return None
        known = fleet.known_versions(leader)
        # What is in the slot already need not be staged: quicker, and traffic moves all the same.
        return _new_version(known) if case.step in ("stage", "withhold") else known[1]

    def _strike(self, version: str | None) -> runs.Run:
        """Starts the run, stops it at its line, lets the fault strike and the line go on. Returns the run, ended."""
        fleet, case = self.fleet, self.case
        if case.scenario == "guard":
            run = scenarios.kill_after_switch(fleet, case)
            stop = Stop(fleet.lab, case.host, case.step, case.point, guard=True)
            alive = _guard_acts
        else:
            stop = Stop(fleet.lab, case.host, case.step, case.point)
            run = fleet.start(case.verb, version, scenarios.first(case), scenarios.guard(case, fleet.times.guard))
            alive = run.runs
        try:
            if not stop.reached(alive, REACH_SECONDS):
                self.problems.append(f"the run ended or hung before {case.point} {case.step}: {_tail(run.text(), 400)}")
            else:
                self.evidence["stopped_at"] = stop.line
                if stop.line.get("outcome") == "failed":
                    self.problems.append(f"{case.step} had failed before the fault struck")
                self._struck = time.time()
                if case.scenario == "guard" and case.fault in SIGNALS:
                    stop.kill()
                else:
                    injections.inject(fleet.lab, case, run)
                self._over = time.time() + (RESTART_SECONDS if case.scenario == "guard" else 0.0)
                self._lasts = case.fault in ("cut", "disk")
        finally:
            stop.release()
        self._released = time.clock_gettime(time.CLOCK_BOOTTIME)
        if (case.fault in SIGNALS or case.scenario == "guard") and self._struck and not self._dies(run):
            self.problems.append(f"the run survived SIG{case.fault}")
        if case.scenario != "resumed":  # there nobody waits for the guard: the next run is to be faster
            self._watch(run)
        code = self._code = run.wait(0)
        if case.fault in SIGNALS and code == 0:
            self.problems.append("the run ended with 0 although it was killed")
        self.notes.append(f"run {_ended(code)}")
        self.evidence["first_run"] = _tail(run.text())
        return run

    def _dies(self, run: runs.Run) -> bool:
        """Whether the run ends of its signal.

        Once in hundreds of times Ansible hangs in it, whose workers share a queue
        that dies with one of them: then it gets the signal again, as from a person at the keyboard.
        """
        if run.wait(DEATH_SECONDS) is not None:
            return True
        if self.case.fault not in SIGNALS:
            return False
        self.notes.append(f"it took SIG{self.case.fault} twice")
        run.signal(self.case.fault)
        return run.wait(DEATH_SECONDS) is not None

    def _watch(self, run: runs.Run) -> None:
        """Looks at the load balancers until the run has ended and exactly one healthy slot is live on each.

        From the deadline of the guard + 2 s on nothing else may be seen. A fault that lasts is undone meanwhile.
        """
        fleet, samples = self.fleet, list[tuple[float, str]]()
        hung = time.monotonic() + RUN_SECONDS
        ended: float | None = None
        armed: list[float] = []
        while True:
            # Before the look: what it shows may be so much younger, never older.
            now, moment = time.clock_gettime(time.CLOCK_BOOTTIME), time.time()
            seen = fleet.look_at(LOAD_BALANCERS, self._first)
            armed = [due for name, one in seen.items() if (due := self._guard_due(name, one)) is not None]
            samples.append((now, _restless(seen)))
            if ended is None and not run.runs():
                ended = now
            self._undo(seen, moment, ended is not None)
            if ended is not None and not self._lasts and (not samples[-1][1] or now > self._rest_by(armed) + 20.0):
                break
            if time.monotonic() > hung:
                self.problems.append("the run did not end")
                run.end()
                break
            time.sleep(POLL_SECONDS)
        late = [(at - self._rest_by(armed), words) for at, words in samples if words]
        if late and late[-1][0] > 0:
            self.problems.append(f"no rest {late[-1][0] + SETTLE_SECONDS:.1f} s after it was due: {late[-1][1]}")
        self.evidence["restless"] = [f"{at - samples[0][0]:.1f} s: {words}" for at, words in samples if words]

    def _guard_due(self, name: str, seen: Look | None) -> float | None:
        """Returns the boottime of the deadline of the guard that was last armed on a load balancer.

        While gates look, a run that lives renews it: there the guard's own word counts.
        """
        armed = looks.last_arm(seen)
        if armed is None:
            return None
        if self.case.scenario in RENEWED and seen is not None and isinstance(seen.intent, dict):
            self._renewed[name] = float(seen.intent["deadline_boottime"])
        if (self.case.step, self.case.point, self.case.host) == ("arm", "before", name):
            armed = max(armed, self._released)  # the line was made, then held; the guard was armed after that
        return max(armed + self.fleet.times.guard, self._renewed.get(name, 0.0))

    def _rest_by(self, armed: t.Sequence[float]) -> float:
        """Returns the boottime from which on nothing may be under way; *armed* are the deadlines of the guards."""
        over = time.clock_gettime(time.CLOCK_BOOTTIME) - (time.time() - self._over)
        return max([over, *armed]) + SETTLE_SECONDS

    def _undo(self, seen: t.Mapping[str, Look | None], moment: float, ended: bool) -> None:
        """Ends a fault that lasts; the load balancers looked like *seen* at *moment* (s since 1970) or later.

        A cut ends when the guard has fired: it does not need it to heal. A full disk gets room when the run has given
        up and no guard is armed any more, or the guard has had its time: then HAProxy goes where it must without it.
        """
        fleet, case = self.fleet, self.case
        if not self._lasts:
            return
        due = self._struck + fleet.times.guard
        waits = moment <= due + SETTLE_SECONDS and any(map(looks.pending, seen.values()))
        if case.fault == "cut" and time.time() > due + CUT_LONGER_SECONDS:
            injections.undo(fleet.lab, case)
            self._lasts = False
        elif case.fault == "disk" and ended and not waits:
            self.problems += verdicts.not_back(case.victim, seen.get(case.victim))
            injections.undo(fleet.lab, case)
            self._over = time.time()
            self._lasts = False

    def _unfinished(self) -> None:
        """Waits until the dead run keeps nobody out, then asks which slot is live, and keeps what hosts' status says.

        Who confirms or follows writes the state, nobody else: traffic where the state says is traffic taken back.
        """
        seen = self.fleet.look_at(LOAD_BALANCERS, self._first, full=True)
        self._more = scenarios.again(self.case, seen["lb1"])
        if self.case.scenario == "resumed":
            rooms = self.fleet.look_at(self.fleet.applications, self._first, full=True)
            self._at_death = {name: one for name, one in rooms.items() if one is not None}
        else:
            self._outlive(max(looks.lease_left(one) for one in seen.values()))
            seen = self.fleet.look_at(LOAD_BALANCERS, self._first, full=True)
            for name, one in seen.items():
                self.problems += verdicts.state_lies(name, one) if one else [f"{name} does not answer"]
        if self._code == 0 and (run := self._struck_run()):
            self.problems += verdicts.unproven(run, seen)
        self._status = {name: one.status for name, one in seen.items() if one is not None}
        told = "\n".join(f"{name}: {words}" for name, words in self._status.items())
        self._left = "unfinished " in told or any(map(looks.lease_kept, seen.values()))
        self.evidence["status"] = told

    def _outlive(self, left: float) -> None:
        """Waits for the lease, which lasts for *left* s, and for modules, which outlive their run.

        A guard that one of them has armed late shall have acted, too: the next run is to find what the status tells.
        """
        if left > max(self.fleet.times):
            times = self.fleet.times
            self.problems.append(f"the lease lasts for another {left:.0f} s, the run was given {times.lease:g} s")
        time.sleep(left)
        ends = time.monotonic() + WORK_SECONDS
        while time.monotonic() < ends and self._at_work():
            time.sleep(POLL_SECONDS)

    def _at_work(self) -> bool:
        seen = self.fleet.look_at(self.fleet.rooms, self._first)
        busy = any(one is not None and one.at_work for one in seen.values())
        return busy or any(looks.pending(seen[name]) for name in LOAD_BALANCERS)

    def _again(self, version: str | None, dead: runs.Run) -> runs.Run | None:
        """The same command again: it must end with 0, and say what it found."""
        fleet, case = self.fleet, self.case
        run = fleet.start(case.verb, version, self._more)
        code = run.wait(RUN_SECONDS)
        if code is None:
            run.end()
        said = runs.found_in(run.text())
        self.evidence["second_run"] = _tail(run.text())
        self.evidence["said"] = said
        if code != 0:
            self.problems.append(f"the next run ended with {code}: {_error(run.text())}")
        if self._left and not said:
            self.problems.append("the next run did not say what it found")
        if case.scenario != "resumed":
            for name, status in self._status.items():
                self.problems += verdicts.unsaid(name, status, run.text())
        elif not any("goes on with it" in words for words in said):
            self.problems.append("the next run did not go on with the release that it found")
        self.notes.append(", ".join(map(runs.short, said)) or "nothing left")
        dead.end()
        return run if code == 0 else None

    def _requests(self, begun: float, ended: float) -> None:
        """No request failed but those that the fault itself took with it."""
        report = self.fleet.report(begun, ended)
        allowed = injections.allowance(self.case, self._struck, self._over) if self._struck else None
        expected = RATE / len(LOAD_BALANCERS) * (ended - begun)
        seen = verdicts.requests(report, allowed, LOAD_BALANCERS, expected)
        self.problems += seen.problems
        self.requests = seen
        self.evidence["load"] = report if seen.problems else {"requests": seen.sent}
        if allowed is not None and seen.excused:
            counts = ", ".join(f"{count} of {name}" for name, count in seen.excused.items())
            self.because = allowed.because
            self.notes.append(f"failed with it: {counts} ({allowed.because})")

    def _truth(self, again: runs.Run) -> None:
        """Journals and states tell what happened, and what runs is what they tell."""
        fleet, case = self.fleet, self.case
        seen = fleet.look_at(fleet.rooms, self._first, full=True)
        said = runs.found_in(again.text())
        balancers, applications = dict[str, Look](), dict[str, Look]()
        for name, one in seen.items():
            if one is None:
                self.problems.append(f"{name} does not answer")
                continue
            self.evidence.setdefault("journals", {})[name] = one.journal
            self.problems += verdicts.untold(name, one.journal, said)
            if name in LOAD_BALANCERS:
                balancers[name] = one
                self._kept(name, one, said)
            else:
                applications[name] = one
            if one.torn and case.fault not in ("disk", "reboot"):
                self.problems.append(f"{name}: {one.torn} torn journal lines")
        lb1 = seen["lb1"]
        self._in_order(balancers)
        lives = {looks.live_release(seen[name]) for name in LOAD_BALANCERS}
        if len(lives) != 1:
            self.problems.append(f"the load balancers ended with different releases: {lives}")
        if looks.live_release(lb1) == self.evidence["live_before"]:
            self.problems.append(f"still live is {self.evidence['live_before']}")
        live = looks.slot_of(lb1.haproxy) if lb1 else None
        if live:
            self.problems += looks.strays(applications, live)
        if live and case.scenario == "resumed":
            self._ran_on(applications, live)

    def _ran_on(self, seen: t.Mapping[str, Look], live: str) -> None:
        """What ran where users are was neither stopped nor started by the run that went on there."""
        if self.case.step == "workers" and not looks.works(self._at_death.get(self.case.host), live):
            self.problems.append(f"no worker of slot {live} ran on {self.case.host} when the run was taken up")
        self.problems += looks.restarted(self._at_death, seen, live)

    def _in_order(self, seen: t.Mapping[str, Look]) -> None:
        """Every run went hand in hand over the load balancers, and the next one, which ended with 0, to its end."""
        self.problems += verdicts.out_of_order({name: one.journal for name, one in seen.items()})
        if "lb1" in seen:
            self.problems += verdicts.unproven(verdicts.newest_run(seen["lb1"].journal, self._struck_run()), seen)

    def _struck_run(self) -> str | None:
        """Returns the id of the run that was stopped; None when it never came to its line."""
        return dict(self.evidence.get("stopped_at", {})).get("run")

    def gather(self) -> None:
        """After a failure: keeps the journal lines of this case, when it did not come so far itself."""
        if "journals" not in self.evidence and self._first:
            seen = self.fleet.look_at(self.fleet.rooms, self._first)
            self.evidence["journals"] = {name: one.journal for name, one in seen.items() if one is not None}

    def _kept(self, name: str, seen: Look, said: t.Sequence[str]) -> None:
        """A load balancer kept its promises, and its journal, its state and its traffic are one story."""
        case, journal = self.case, seen.journal
        lost = {
            run
            for run in self._untellable(name, journal)
            if verdicts.named(name, run, said) or verdicts.closed(run, journal)
        }
        self.problems += verdicts.kept(name, journal, resumed=case.scenario == "resumed", lost=lost)
        self.problems += verdicts.state_lies(name, seen)
        if isinstance(seen.state, dict):
            self.problems += verdicts.unrecorded(name, journal, seen.state)
        self.problems += [f"{name}: {why}" for why in looks.unsound(seen)]
        self._blame(name, seen, lost)

    def _untellable(self, name: str, journal: t.Sequence[verdicts.Entry]) -> set[str]:
        """Returns the runs of which a load balancer cannot tell the end; then the next run tells what it found done.

        The guard does its work without room to write of it. A host without power has done what it does not tell of, and
        so has a guard that was killed after its work.
        """
        if name != self.case.victim:
            return set()
        if self.case.fault == "disk":
            return {entry["run"] for entry in journal}
        cut = self.case.fault == "reboot" or self.case.scenario == "guard"
        return verdicts.cut_off(journal) if cut else set()

    def _blame(self, name: str, seen: Look, lost: t.Collection[str]) -> None:
        """What a run armed and neither confirmed nor took back itself, nobody but the guard can have taken back."""
        run = self._struck_run()
        mine = [entry for entry in seen.journal if entry["run"] == run]
        if self.case.scenario == "resumed":
            self.problems += verdicts.went_back(name, seen.journal)
        elif verdicts.guard_was_due(mine):
            if verdicts.by_guard(mine):
                self.notes.append(f"{name} guard reverted")
            elif run not in lost:
                self.problems.append(f"{name}: the guard was due for run {run}, and its journal does not tell of it")


def _guard_acts() -> bool:
    """Whether somebody may still come to the line: a guard does, whatever has become of its run."""
    return True


def _new_version(known: t.Sequence[str]) -> str:
    return next(version for version in VERSIONS if version not in known)


def _restless(seen: t.Mapping[str, Look | None]) -> str:
    problems = {name: looks.restless(one) for name, one in seen.items()}
    return "; ".join(f"{name}: {', '.join(why)}" for name, why in problems.items() if why)


def _ended(code: int | None) -> str:
    if code is None:
        return "hung"
    return f"died of signal {-code}" if code < 0 else f"ended {code}"


def _tail(text: str, length: int = 6000) -> str:
    return text[-length:]


def _error(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.startswith(("[ERROR]", "fatal:"))]
    return " | ".join(lines[:3])[:600] or _tail(text, 300)
