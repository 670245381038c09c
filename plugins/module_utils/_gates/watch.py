# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A watch: all gates of a phase look again and again, each in its own time, until it is decided what to do. PRIVATE."""

from __future__ import annotations

import math
import threading
import time
import typing as t

from . import decision
from .look import Look, Sampler, broken
from .masking import Hide
from .specification import GateSpecification
from .verdict import NO_DATA, SEVERITY

_ALLOWED = 10.0  # s, for a look of a gate that says nothing about its time


class Watched(t.NamedTuple):
    """A gate, and what looks for it."""

    gate: GateSpecification
    sampler: Sampler


class Times(t.NamedTuple):
    """Of a phase, in s: how long it lasts (0: until its gates have passed; inf: until it is stopped), and at most."""

    seconds: float
    most: float


class Progress(t.NamedTuple):
    """What a watch says at one moment: *action* (go, hold or revert) with its *reasons*, and each gate for itself.

    *gates*: {name, type, enforce, verdict, words, looks: {verdict: how many}, answers}. *lacks_users*: time is over,
    and nothing is missing but a user.
    """

    action: str
    reasons: t.Sequence[str]
    elapsed: float
    seconds: float
    gates: t.Sequence[t.Mapping[str, t.Any]]
    lacks_users: bool = False


class Watch:
    """Looks from start() on, in a thread for each gate, so that one that is slow delays no other.

    *without_users*: what follows when the phase is over and too few users have come: go, or hold (until somebody knows
    of users elsewhere). Without a word, what the gate itself says of an inconclusive end. *hide* takes secrets out of
    what a person is told.
    """

    def __init__(
        self,
        watched: t.Sequence[Watched],
        times: Times,
        clock: t.Callable[[], float] = time.monotonic,
        *,
        without_users: str = "",
        hide: Hide = str,
    ) -> None:
        self._gates = [_Gate(one, times, without_users, hide) for one in watched]
        self._times = times
        self._clock = clock
        self._began = clock()
        self._ends = threading.Event()

    def start(self) -> None:
        """The time of the phase begins now."""
        self._began = self._clock()
        for gate in self._gates:
            threading.Thread(target=gate.run, args=(self._ends,), daemon=True).start()

    def stop(self) -> None:
        """No gate begins another look; what still waits for an answer is left behind."""
        self._ends.set()

    def progress(self) -> Progress:
        """Returns what to do now, and why."""
        elapsed = self._clock() - self._began
        late = [gate.name for gate in self._gates if gate.is_late(self._began + self._times.seconds)]
        seen = [gate.seen() for gate in self._gates]
        over, may_extend = elapsed >= self._times.seconds, elapsed < self._times.most
        gates = [gate for gate, _told in seen]
        if may_extend and not self._times.seconds:  # such a phase is over when its gates have passed, or after most
            gates = [gate._replace(on_inconclusive=decision.EXTEND) for gate in gates]
        decided = decision.decide(gates, over=over, may_extend=may_extend)
        used = [gate for gate in gates if not gate.without_users]
        others = decision.decide(used, over=over, may_extend=may_extend).action
        lacks_users = over and decided.action == decision.HOLD and others == decision.GO
        if decided.action == decision.HOLD and over and not may_extend and not lacks_users:
            decided = decision.Decision(decision.REVERT, [*decided.reasons, "nobody decided in time"])
        told = [told for _gate, told in seen]
        if late and (decided.action == decision.GO or lacks_users):  # every look has a deadline
            waits = [f"{name}: its last look is not over yet" for name in late]
            decided, lacks_users = decision.Decision(decision.HOLD, [*decided.reasons, *waits]), False
        seconds = self._times.seconds if math.isfinite(self._times.seconds) else 0.0  # JSON has no infinity
        return Progress(decided.action, decided.reasons, round(elapsed, 1), seconds, told, lacks_users)


class _Gate:
    """One gate with all its verdicts."""

    def __init__(self, watched: Watched, times: Times, without_users: str, hide: Hide) -> None:
        self._gate, self._sampler = watched
        self.name = self._gate.name
        self._without_users = without_users
        self._hide = hide
        self._looks_since: float | None = None
        told = self._gate.fields
        self._allowed = min(float(told.get("deadline") or told.get("timeout") or _ALLOWED), max(times.most, 1.0))
        self._lock = threading.Lock()
        self._verdicts: list[str] = []
        self._newest = Look(NO_DATA, ["no look yet"])
        self._bad: Look | None = None

    def run(self, ends: threading.Event) -> None:
        while not ends.is_set():
            self._looks_since = began = time.monotonic()
            look = self._look()
            with self._lock:
                self._looks_since = None
                self._verdicts.append(look.verdict)
                self._newest = look
                self._bad = look if look.answers else self._bad
            ends.wait(max(0.0, began + self._gate.interval - time.monotonic()))

    def _look(self) -> Look:
        try:
            return self._sampler(self._allowed)
        except Exception as error:  # whatever it is, it must become a verdict and not a silent thread
            return broken(f"the gate broke: {type(error).__name__}: {error}")

    def is_late(self, over: float) -> bool:
        """Whether a look that began before *over*, the end of the phase, should have ended by now.

        The newest verdict may be a pass of long ago then. Looks that begin after that moment hold nobody up.
        """
        since = self._looks_since
        overdue = since is not None and since < over and time.monotonic() - since > self._gate.interval
        return self._gate.enforce and overdue

    def seen(self) -> tuple[decision.Gate, dict[str, t.Any]]:
        """Returns what decides, and what a person is told."""
        with self._lock:
            verdicts, newest, bad = list(self._verdicts), self._newest, self._bad
        gate = self._gate
        told = {
            "name": gate.name,
            "type": gate.type,
            "enforce": gate.enforce,
            "verdict": newest.verdict,
            "words": list(map(self._hide, newest.words)),
            "looks": {verdict: verdicts.count(verdict) for verdict in SEVERITY if verdict in verdicts},
            "answers": list(map(self._hide, bad.answers)) if bad else [],
        }
        without_users = self._without_users if newest.unused else ""
        return decision.Gate(gate.name, verdicts, gate.allowed, gate.on_inconclusive, gate.enforce, without_users), told
