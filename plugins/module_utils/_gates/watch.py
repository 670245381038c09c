# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A watch: all gates of a phase look again and again, each in its own time, until it is decided what to do. PRIVATE."""

from __future__ import annotations

import collections
import math
import threading
import time
import typing as t

from .decision import Gate, Looks, Times, decide_watch, is_late
from .look import Look, Sampler, broken
from .masking import Hide
from .specification import GateSpecification
from .verdict import NO_DATA, SEVERITY

_ALLOWED = 10.0  # s, for a look of a gate that says nothing about its time


class Watched(t.NamedTuple):
    """A gate, and what looks for it."""

    gate: GateSpecification
    sampler: Sampler


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
        seen = [gate.seen(self._began + self._times.seconds) for gate in self._gates]
        decided = decide_watch([gate for gate, _told in seen], elapsed, self._times)
        seconds = self._times.seconds if math.isfinite(self._times.seconds) else 0.0  # JSON has no infinity
        told = [told for _gate, told in seen]
        return Progress(decided.action, decided.reasons, round(elapsed, 1), seconds, told, decided.lacks_users)


class _Gate:
    """One gate, and what its looks have shown."""

    def __init__(self, watched: Watched, times: Times, without_users: str, hide: Hide) -> None:
        self._gate, self._sampler = watched
        self._without_users = without_users
        self._hide = hide
        self._looks_since: float | None = None
        told = self._gate.fields
        self._allowed = min(float(told.get("deadline") or told.get("timeout") or _ALLOWED), max(times.most, 1.0))
        self._lock = threading.Lock()
        self._counts = collections.Counter[str]()
        self._newest = Look(NO_DATA, ["no look yet"])
        self._bad: Look | None = None

    def run(self, ends: threading.Event) -> None:
        while not ends.is_set():
            self._looks_since = began = time.monotonic()
            look = self._look()
            with self._lock:
                self._looks_since = None
                self._counts[look.verdict] += 1
                self._newest = look
                self._bad = look if look.answers else self._bad
            ends.wait(max(0.0, began + self._gate.interval - time.monotonic()))

    def _look(self) -> Look:
        try:
            return self._sampler(self._allowed)
        except Exception as error:  # whatever it is, it must become a verdict and not a silent thread
            return broken(f"the gate broke: {type(error).__name__}: {error}")

    def seen(self, over: float) -> tuple[Gate, dict[str, t.Any]]:
        """Returns what decides, and what a person is told. Looks that begin after *over* hold nobody up."""
        with self._lock:
            since, counts, newest, bad = self._looks_since, dict(self._counts), self._newest, self._bad
        gate = self._gate
        told = {
            "name": gate.name,
            "type": gate.type,
            "enforce": gate.enforce,
            "verdict": newest.verdict,
            "words": list(map(self._hide, newest.words)),
            "looks": {verdict: counts[verdict] for verdict in SEVERITY if verdict in counts},
            "answers": list(map(self._hide, bad.answers)) if bad else [],
        }
        decides = Gate(
            gate.name,
            Looks(counts, newest.verdict if counts else ""),
            gate.allowed,
            gate.on_inconclusive,
            gate.enforce,
            without_users=self._without_users if newest.unused else "",
            late=is_late(since, over, time.monotonic(), gate.interval),
        )
        return decides, told
