# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A watch over a phase of a rollout: a process of this host, so that the run may look on, but need not live. PRIVATE.

A process that dies confirms nothing: the deadline of the guard is not renewed any more, and it takes the switch back.
"""

from __future__ import annotations

import contextlib
import functools
import math
import time
import typing as t

from .._foundation.errors import CommandFailed, RolloutError
from .._gates import decision, specification
from .._gates.decision import Times
from .._gates.masking import Masking
from .._gates.watch import Progress, Watch
from .._state import journal
from .._state import lease as leases
from .._state.run import Run
from . import revert as reverting
from . import samplers, steps, verify, watch_files
from .call import Call
from .decision import MOST_ATTEMPTS
from .guard import Guard
from .watch_shapes import STOPPED

_TICK = 0.2  # s between two looks at what the gates have found
_RENEW = 5.0  # s between two renewals of guard and lease
_LEFT = 60.0  # s without a look of the run that attends, after which it has died
_ATTEMPTS = MOST_ATTEMPTS + 10  # to take back, one a second: by then a person is needed
#: What a confirmation needs is loaded now: a provision may replace the program before it is asked.
LOADED = (verify,)


class Ending(t.NamedTuple):
    """How a watch ended: *what* (go, revert or STOPPED), that in words, what was seen, and the person who said so."""

    what: str
    says: str
    progress: Progress
    approved: str = ""


def watch(guard: Guard) -> str:
    """What the unit runs: watches what watch.json asks for, to its end.

    Returns a sentence for the system journal and, when the release is refused, the last answers under it.
    """
    asked = watch_files.read_asked(guard.folder)
    if asked is None:
        return f"{guard.application}: nothing is to be watched"
    run, times = Run.from_dict(asked["run"]), watch_files.times(asked)
    gates = specification.read({asked["phase"]: asked["gates"]}, "rollout_gates")
    if asked.get("early"):  # users that have not come yet are no harm
        gates = [gate._replace(allowed=gate.allowed._replace(no_data=None)) for gate in gates]
    place = watch_files.place(guard.application, asked)
    watching = Watch(
        samplers.watched(gates, place, times, guard.api),
        # Nothing passes before the phase has begun: only what is plainly bad is found.
        Times(math.inf, math.inf) if asked.get("early") else times,
        without_users=asked["without_users"],
        hide=Masking(asked.get("masked") or []),
    )
    _note(guard, run, "begin", None, f"{'before ' if asked.get('early') else ''}phase {asked['phase']}")
    watching.start()
    ending = _Watcher(guard, asked, run).until_decided(watching)
    watching.stop()
    if ending.what == decision.REVERT and asked["phase"] != "before_switch":
        # The run must not think that this has died while no slot answers yet.
        meanwhile = functools.partial(_tell, guard, asked, ending.progress, None)
        ending = ending._replace(says=_take_back(guard, run, ending.says, meanwhile))
    if asked["alone"] and ending.what != STOPPED:
        ending = _settle(guard, asked, run, ending)
    left = ending.what == STOPPED and not asked["alone"]  # the run needs it no more: others have decided
    _note(guard, run, "end", "done" if left or ending.what == decision.GO else "failed", ending.says)
    _tell(guard, asked, ending.progress, ending)
    with guard.alone():  # it may hold secrets, and nobody needs it any more
        if _wanted(guard, asked) is not None:
            watch_files.remove_asked(guard.folder)
    answers = [answer for gate in ending.progress.gates for answer in gate["answers"]]
    return "\n  ".join([f"{guard.application}: {ending.says}", *(answers if ending.what == decision.REVERT else [])])


def cut_short(guard: Guard, run: Run, why: str) -> None:
    """Takes back what *run* has moved, watched or not yet, and gives its lease free: who rolls back does not wait."""
    asked = watch_files.read_asked(guard.folder)  # what is taken back is watched no more
    says = _take_back(guard, run, why)
    _refused(guard, asked if asked is not None and asked["run"]["id"] == run.id else None, run, says)


def _refused(guard: Guard, asked: t.Mapping[str, t.Any] | None, run: Run, says: str) -> None:
    """The refusal is on record, and the lease is free. The journal ends with what took the traffic back: the next run
    knows from that where users are, and why."""
    with guard.alone(), contextlib.suppress(leases.LeaseLost):
        if asked and asked["alone"]:
            steps.refuse(Call(guard, run, asked["environment"], {}, False), dict(asked["alone"]["release"]), says)
        leases.release(guard.folder, run)


class _Watcher:
    """Looks on until it is decided."""

    def __init__(self, guard: Guard, asked: t.Mapping[str, t.Any], run: Run) -> None:
        self._guard = guard
        self._asked = asked
        self._run = run
        self._renewed = -_RENEW

    def until_decided(self, watching: Watch) -> Ending:
        while True:
            progress = watching.progress()
            _tell(self._guard, self._asked, progress, None)  # before anything is done about it
            if progress.action == decision.REVERT or (progress.action == decision.GO and self._asked["alone"]):
                return Ending(progress.action, says(self._asked["phase"], progress), progress)
            now = _wanted(self._guard, self._asked)
            if now is None and progress.action == decision.GO:
                return Ending(decision.GO, says(self._asked["phase"], progress), progress)
            if now is None or not self._lives():
                told = f"the watch of {self._run.operation} {self._run.id} was ended before its time"
                return Ending(STOPPED, told, progress)
            if now.get("approved"):
                by = str(now["approved"])
                told = f"phase {self._asked['phase']}: approved by {by} after {progress.elapsed:g} s"
                return Ending(decision.GO, told, progress, approved=by)
            if self._is_left():
                return Ending(STOPPED, "the run does not look, and nobody needs this any more", progress)
            # With GO, too: the run looks on until all others are content, and so does this.
            time.sleep(_TICK)

    def _is_left(self) -> bool:
        """Whether the run that attends has died. Before a bake it does not look; then what its guard says counts."""
        guard, run = self._guard, self._run
        if self._asked["alone"]:
            return False
        if not self._asked.get("early"):
            return watch_files.silence(guard.folder, guard.clock) > _LEFT
        with contextlib.suppress(RolloutError):
            intent = guard.intent()
            if intent is not None:
                return intent.run.id != run.id or intent.status != "armed"
            lease = leases.read(guard.folder)  # a plan may have given up the guard by name
            return lease is None or lease.id != run.id or not leases.remaining(lease, guard.clock)
        return True

    def _lives(self) -> bool:
        """Keeps guard and lease where no run does. Whether this run still has the lease."""
        alone, now = self._asked["alone"], time.monotonic()
        if alone and now - self._renewed >= _RENEW:
            self._renewed = now
            # When the disk is full, or somebody else holds the lock, the deadlines that are written still count.
            with contextlib.suppress(RolloutError, OSError):
                try:
                    leases.renew(self._guard.folder, self._run, float(alone["lease_seconds"]), self._guard.clock)
                except leases.LeaseLost:
                    return False
                self._guard.renew(self._run)
        return True


def _wanted(guard: Guard, asked: t.Mapping[str, t.Any]) -> watch_files.Told | None:
    """Returns what is to be watched as it is told now; None when that is another watch, or none."""
    now = watch_files.read_asked(guard.folder)
    return now if now is not None and now["id"] == asked["id"] else None


def says(phase: str, progress: Progress) -> str:
    """Returns what a watch has found, as one sentence. Pure."""
    if progress.action == decision.GO:
        but = f" ({'; '.join(progress.reasons)})" if progress.reasons else ""
        return f"phase {phase}: every gate has passed after {progress.elapsed:g} s{but}"
    numbers = "; ".join(
        f"{gate['name']} {', '.join(gate['words'])}" for gate in progress.gates if gate["verdict"] != "pass"
    )
    return f"phase {phase}: {'; '.join(progress.reasons)} ({numbers or 'the last look was good again'})"


def _take_back(guard: Guard, run: Run, why: str, meanwhile: t.Callable[[], None] = lambda: None) -> str:
    """Traffic goes back at once, without the run. Returns what was done, as one sentence.

    *meanwhile* is called between two attempts.
    """
    for _attempt in range(_ATTEMPTS):
        try:
            return reverting.refuse(guard, run, why)
        except (CommandFailed, OSError):
            meanwhile()
            time.sleep(1.0)  # as at the deadline: a slot that answers late, or room on the disk, is waited for
    return f"{why}; traffic could not be taken back, and the guard tries again at its deadline"


def _settle(guard: Guard, asked: t.Mapping[str, t.Any], run: Run, ending: Ending) -> Ending:
    """What a run would do in the end: confirms, or has the refusal on record and gives the lease back."""
    release = asked["alone"]["release"]
    if ending.what == decision.GO:
        try:
            intent = guard.intent()
            told = {"release": release, "token": intent.token if intent else None, "verify": asked["alone"]["verify"]}
            told["approved_by"] = ending.approved
            steps.confirm(Call(guard, run, asked["environment"], told, False))
            return ending._replace(says=f"{ending.says}; {release['id']} is confirmed")
        except (RolloutError, OSError) as error:
            why = f"{ending.says}; but {str(error).splitlines()[0]}"
            ending = ending._replace(what=decision.REVERT, says=_take_back(guard, run, why))
    with contextlib.suppress(RolloutError, OSError):  # the next run looks where users are anyway
        _refused(guard, asked, run, ending.says)
    return ending


def _note(guard: Guard, run: Run, phase: str, outcome: str | None, detail: str) -> None:
    """Journals the watch. A disk that takes no line must not end it."""
    with contextlib.suppress(OSError):
        journal.append(guard.folder, run, "watch", phase, clock=guard.clock, outcome=outcome, detail=detail)


def _tell(guard: Guard, asked: t.Mapping[str, t.Any], progress: Progress, ending: Ending | None) -> None:
    told = watch_files.told(asked, guard.clock, *((ending.what, ending.says, ending.approved) if ending else ()))
    watch_files.write_seen(guard.folder, told, progress)
