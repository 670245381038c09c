# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gates on what users get look while the slot before the release drains: its bake has not begun yet. PRIVATE."""

from __future__ import annotations

import contextlib
import math
import socket
import typing as t

from .._foundation.errors import CommandFailed, RolloutError
from .._gates import decision, specification
from .._gates.verdict import PASS
from .._gates.watch import Times, Watch
from . import revert as reverting
from . import samplers, watch_files, watcher, watching
from .call import Call, TakenBack

_WHEN = "bake, while the slot before it still drains"


@contextlib.contextmanager
def looking(call: Call) -> t.Iterator[t.Callable[[], None]]:
    """Gives what is to be called now and then. It raises TakenBack when gates refuse the release.

    Parameter: early, which has those of the step watch, with gates of type traffic only: their words are numbers, and
    give no secret away. Users leave a refused release at once, as in its bake.
    """
    asked = watching.asked_for(call._replace(parameters=call.parameters["early"]))
    gates = specification.read({asked["phase"]: asked["gates"]}, "rollout_gates")
    watched = samplers.watched(
        gates, watch_files.place(call.guard.application, asked), watch_files.times(asked), call.guard.api
    )
    # Nothing passes here, and nobody is late: only what refuses a release at any moment does so.
    watch = Watch(watched, Times(math.inf, math.inf))
    watch.start()
    try:
        yield lambda: _check(call, watch, asked["phase"])
    finally:
        watch.stop()


def _check(call: Call, watch: Watch, phase: str) -> None:
    progress = watch.progress()
    if progress.action != decision.REVERT:
        return
    says, armed = watcher.says(phase, progress), call.guard.intent() is not None
    with contextlib.suppress(CommandFailed):  # then the run that withdraws it asks once more, and says so
        reverting.refuse(call.guard, call.run, says[:300])
    # As the action plugin of a bake says it.
    told = [f"The gates of {socket.gethostname()} refuse it ({_WHEN}): {'; '.join(progress.reasons)}."]
    for gate in progress.gates:
        if gate["verdict"] != PASS or gate["answers"]:
            told.append(f"  {gate['name']}: {gate['verdict']} ({', '.join(gate['words'])})")
            told += [f"    {answer}" for answer in gate["answers"]]
    raise (TakenBack if armed and call.guard.intent() is None else RolloutError)("\n".join(told))
