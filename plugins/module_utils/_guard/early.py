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
from .._gates.refusal import refusal
from . import watch_files
from .call import Call, TakenBack

_WHEN = "after the switch, before the bake"
_POLL = 0.05  # s


def must_not_have_refused(call: Call, phase: str) -> None:
    """Raises TakenBack when a watch of this run has refused the release in *phase*.

    RolloutError when users have it all the same.
    """
    guard, run = call.guard, call.run
    seen = _seen(call)
    if seen is None or seen["run"] != [run.id, run.epoch] or (seen["phase"], seen["ended"]) != (phase, REVERT):
        return
    told = refusal(socket.gethostname(), _WHEN, seen["says"], seen["progress"] or {"gates": []})
    raise (RolloutError if guard.moved_to(run.slot) else TakenBack)(told)


def _seen(call: Call) -> watch_files.Told | None:
    """Returns what was seen last; nothing of a damaged file, which need not outlive a power cut: the guard knows."""
    with contextlib.suppress(StateUnreadable):
        return watch_files.read_seen(call.guard.folder)
    return None


def end(call: Call, phase: str) -> None:
    """The watch of *phase* that this run begins takes the place of an early one. Raises as must_not_have_refused does.

    One that is about to take users back does that first, and says so.
    """
    guard = call.guard
    with guard.alone():
        asked = watch_files.read_asked(guard.folder)
        if asked is not None and asked.get("early") and asked["run"]["id"] == call.run.id:
            watch_files.remove_asked(guard.folder)
    while asked is not None and asked.get("early"):
        seen = _seen(call)
        if seen is None or seen["id"] != asked["id"] or not watch_files.alive(seen, guard.clock.boottime()):
            break  # ended, or dead: it tells that it lives several times a second
        time.sleep(_POLL)
    must_not_have_refused(call, phase)
