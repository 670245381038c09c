# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The watch between a switch and its bake, which takes a bad release back while a slot drains and work moves. PRIVATE.

It is asked for by the step drain. The run is at work elsewhere then, so it hears of a refusal by its next step here.
"""

from __future__ import annotations

import contextlib
import socket
import time

from .._foundation.errors import RolloutError, StateUnreadable
from .._gates.decision import REVERT
from .._gates.refusal import BEFORE_BAKE, refusal
from . import watch_files
from .call import Call, TakenBack

_POLL = 0.05  # s
_LONGEST = 90.0  # s: longer than a watch tries to take users back


def must_not_have_refused(call: Call, phase: str) -> None:
    """Raises TakenBack when a watch of this run has refused the release in *phase*.

    RolloutError when users have it all the same.
    """
    seen = _seen(call, phase)
    if seen is None or seen["ended"] != REVERT:
        return
    told = refusal(socket.gethostname(), BEFORE_BAKE, seen["says"], seen.get("progress") or {"gates": []})
    raise (RolloutError if call.guard.moved_to(call.run.slot) else TakenBack)(told)


def end(call: Call, phase: str) -> None:
    """The watch of *phase* that this run begins takes the place of an early one. Raises as must_not_have_refused does.

    One that is about to take users back does that first, and says so.
    """
    guard = call.guard
    with guard.alone():
        watch_files.forget(guard.folder, call.run)
    # One without a word has not looked yet. One that looks says so several times a second, until it has ended.
    ends = time.monotonic() + _LONGEST
    while (seen := _seen(call, phase)) and seen.get("progress") and time.monotonic() < ends:
        if not watch_files.alive(seen, guard.clock.boottime()):
            break
        time.sleep(_POLL)
    must_not_have_refused(call, phase)


def _seen(call: Call, phase: str) -> watch_files.Told | None:
    """Returns what a watch of this run over *phase* has seen last.

    Nothing of a damaged file, which need not outlive a power cut: the guard knows, too.
    """
    run = call.run
    with contextlib.suppress(StateUnreadable):
        seen = watch_files.read_seen(call.guard.folder)
        mine = seen is not None and seen.get("run") == [run.id, run.epoch] and seen["phase"] == phase
        return seen if mine else None
    return None
