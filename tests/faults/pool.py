# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fleets side by side that take their cases from one queue."""

from __future__ import annotations

import contextlib
import threading
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor

from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import RolloutError

from . import cases
from .cases import Case
from .fleet import Broken, Fleet
from .looks import may_roll_back
from .one_case import OneCase, Result


class Queue:
    """The cases that nobody has taken yet."""

    def __init__(self, wanted: t.Iterable[Case]) -> None:
        self._left = list(wanted)
        self._lock = threading.Lock()

    def take(self, *, may_roll_back: bool, applications: int) -> Case | None:
        """Takes the case that fits a fleet best, or None when there is none left for it."""
        with self._lock:
            return cases.take(self._left, may_roll_back=may_roll_back, applications=applications)

    def close(self) -> None:
        """Nobody gets another case."""
        with self._lock:
            self._left.clear()


def run(
    fleets: t.Sequence[Fleet], wanted: t.Sequence[Case], done: t.Callable[[Fleet, Result], None], *, keep: bool
) -> None:
    """Runs *wanted* on *fleets*; *done* is called after each case, by one fleet at a time.

    A fleet that cannot be made, or made anew, leaves its cases to the others. Raises what broke the last one.
    """
    queue, lock = Queue(wanted), threading.Lock()

    def one_at_a_time(fleet: Fleet, result: Result) -> None:
        with lock:
            done(fleet, result)

    with ThreadPoolExecutor(max_workers=len(fleets)) as pool:
        working = [pool.submit(_work, fleet, queue, one_at_a_time, keep) for fleet in fleets]
        try:
            errors = [error for one in working if (error := one.exception()) is not None]
        except KeyboardInterrupt:
            queue.close()  # each fleet ends its case and goes away
            raise
    if len(errors) == len(fleets):
        raise errors[0]


def _work(fleet: Fleet, queue: Queue, done: t.Callable[[Fleet, Result], None], keep: bool) -> None:
    """Runs cases on *fleet* until there are none. Says whatever ends it before: nobody else may."""
    try:
        _drain(fleet, queue, done, keep)
    except Exception as error:
        fleet.say(f"takes no more cases: {type(error).__name__}: {error}")
        raise


def _drain(fleet: Fleet, queue: Queue, done: t.Callable[[Fleet, Result], None], keep: bool) -> None:
    started = time.monotonic()
    try:
        fleet.up()
        fleet.say(f"ready in {time.monotonic() - started:.0f} s")
        while (case := _next(fleet, queue)) is not None:
            result = attempt(fleet, case)
            done(fleet, result)
            if not result.passed:
                rescue(fleet)
    finally:
        if keep:
            fleet.leave()
        else:
            fleet.down()


def _next(fleet: Fleet, queue: Queue) -> Case | None:
    return queue.take(may_roll_back=may_roll_back(fleet.look("lb1")), applications=len(fleet.applications))


def attempt(fleet: Fleet, case: Case) -> Result:
    """Runs one case, and keeps everything that was seen when it failed."""
    started = time.time()
    one = OneCase(fleet, case)
    try:
        result = one.run()
    except Exception as error:  # a bug of the suite is a failed case, too, and not one that nobody hears of
        one.problems.append(f"{type(error).__name__}: {error}")
        result = one.result(time.time() - started)
    if not result.passed:
        with contextlib.suppress(Exception):  # what is wrong is known already
            one.gather()
    return result


def rescue(fleet: Fleet) -> None:
    """After a case that failed: the next one must not pay for it."""
    try:
        fleet.settle()
    except (Broken, RolloutError) as error:
        fleet.say(f"is broken and made anew: {str(error).splitlines()[0]}")
        fleet.down()
        fleet.up()
