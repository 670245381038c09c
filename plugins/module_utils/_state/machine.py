# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which step of a run may follow which, so that no step is taken on ground that an earlier one did not lay.

PRIVATE to the collection. Pure: entries of the journal in, an error or nothing out.
"""

from __future__ import annotations

import typing as t

from .._foundation.errors import RolloutError, playbook
from .journal import Entry
from .run import Run

# The steps on a load balancer that move traffic or prepare it, in order (adopt only where a host was left behind); then
# what may stand between or after them.
STEPS = ("begin", "adopt", "arm", "shift", "switch", "confirm", "revert", "end", "drain")
APPLICATION_STEPS = ("stage", "wake", "workers", "retire", "stop", "withhold", "empty")

# These neither move traffic nor promise anything about it: what stood before them stands after them.
ASIDE = ("drain", "watch", *APPLICATION_STEPS)
# A step may follow these of the same run once they ended well. A drain is named because it may hide what stood before.
_AFTER = {
    "adopt": ("begin", "drain"),
    "arm": ("begin", "adopt", "drain"),
    "shift": ("arm",),
    "switch": ("arm", "shift"),
    "confirm": ("switch", "drain"),
}
_NEEDS = {
    "adopt": "begin of this run, ended well",
    "arm": "begin of this run, ended well",
    "shift": "arm of this run, ended well: without a guard nothing takes the traffic back",
    "switch": "arm of this run, ended well: without a guard nothing takes the switch back",
    "confirm": "switch of this run, ended well, and nothing that took it back since",
    "revert": "begin of this run, and no confirmation: after that a roll back is a run of its own",
    "drain": "begin of this run",
}


class ForbiddenStep(RolloutError):
    """The journal says that a step may not be taken now; nothing was changed."""


def standing(entries: t.Iterable[Entry]) -> Entry | None:
    """Returns the newest entry that says where the rollout stands: drains and application steps do not."""
    newest = None
    for entry in entries:
        if entry.step not in ASIDE:
            newest = entry
    return newest


def check_transition(last: Entry | None, run: Run, step: str) -> None:
    """Raises ForbiddenStep when *run* may not take *step* now.

    *last* is the newest entry of the journal (see `standing`, which looks past steps that change nothing), or None.
    A run may repeat the step that it began last, because a cut connection does not tell whether it ended. The guard
    does not ask: its intent is its permission.
    """
    if step in APPLICATION_STEPS or step == "end":
        return
    if step not in STEPS:
        raise ForbiddenStep(
            f"There is no step {step!r} in a rollout.",
            expected=f"one of {', '.join((*STEPS, *APPLICATION_STEPS))}",
            next_step=f"use one version of the collection on controller and host: {playbook('provision')}",
        )
    mine = last if last is not None and last.run == run.id else None
    if not _may_follow(mine, step):
        raise ForbiddenStep(
            f"The step {step} of {run.operation} {run.id} is not allowed now.",
            expected=_NEEDS.get(step, "a run that did not go further than its begin"),
            found=_found(last, run),
            where="journal.ndjson on the load-balancer host",
            next_step="start again from the beginning, which takes up or takes back what is there; "
            f"{playbook('status')} shows it",
        )


def _may_follow(mine: Entry | None, step: str) -> bool:
    """Whether *step* may follow *mine*, the newest entry if it is of the same run."""
    if mine is None:
        return step == "begin"
    if mine.step == step:
        return True
    done = mine.phase == "end" and mine.outcome == "done"
    if step in _AFTER:
        return done and mine.step in _AFTER[step]
    if step == "revert":
        return not (mine.step == "confirm" and done)
    return step != "begin"


def _found(last: Entry | None, run: Run) -> str:
    if last is None:
        return "an empty journal"
    whose = "of this run" if last.run == run.id else f"of {last.operation} {last.run}"
    how = f", {last.outcome}" if last.outcome else ""
    return f"{last.step} {whose} ({last.phase}{how}) by {last.actor} at {last.at}"
