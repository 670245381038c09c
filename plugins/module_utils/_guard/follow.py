# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work follows users who were taken back from a release on probation, without the machine that drove the run. PRIVATE.

Load balancers decide alone, and have no way to application hosts. So each of these asks them, by its timer.
"""

from __future__ import annotations

import typing as t

from .._foundation.clock import Clock
from .._foundation.errors import playbook
from .._foundation.lock import Busy
from .._slots import handover
from .._slots.record import Paths
from .._slots.slot import Slot
from .._state import journal
from .._state import lease as leases
from .._state import state as states
from . import busy, probation, retire
from . import change as changes
from .place import ACTOR
from .probation import Probation, Told, users_are_in


def follow_due(
    application: str,
    clock: Clock,
    make_slot: t.Callable[[Paths, str], Slot] = Slot,
    load_balancers: t.Callable[[t.Mapping[str, str]], Told] = probation.ask,
) -> str:
    """What the timer calls: asks where users are, and does what follows.

    Returns a sentence, or an empty string when there was nothing to do.
    """
    host = _Host(application, clock, make_slot)
    found = probation.read(host.folder)
    if found is None:
        return ""
    void = leases.newest(host.folder) > found.run.epoch
    told = {} if void else load_balancers(found.load_balancers)  # before the lock: an answer may take its time
    if not (void or users_are_in(found.previous_slot, told) or retire.left(found, clock) <= 0):
        return ""
    try:
        with changes.alone(host.folder, 0.0):
            # Another run may have been here by now.
            says = host.follow(found, told) if probation.read(host.folder) == found else ""
    except Busy:
        return ""  # a run is at work here; the timer looks again in a minute
    return f"{application}: {says}" if says else ""


class _Host:
    """The slots of one application on this host. The caller of follow() is alone()."""

    def __init__(self, application: str, clock: Clock, make_slot: t.Callable[[Paths, str], Slot]) -> None:
        self.folder = states.folder_of(application)
        self._paths = Paths(application)
        self._clock = clock
        self._make_slot = make_slot

    def follow(self, found: Probation, told: Told) -> str:
        """Does what follows from *told*, and returns it as a sentence."""
        try:
            leases.fence(self.folder, found.run, self._clock)
        except leases.LeaseLost:
            probation.forget(self.folder)
            return ""  # a newer run was here, and says where work is
        if users_are_in(found.previous_slot, told):
            return self._back(found)
        if users_are_in(found.slot, told):
            # Where users are is no confirmation: the other slot stays up until a run, which knows, says for how long.
            probation.forget(self.folder)
            return f"users have stayed on {found.release_id}"
        shown = ", ".join(
            f"{name}: {one if isinstance(one, str) else one.text()}" for name, one in sorted(told.items())
        )
        stays = f"work stays in slot {found.slot}"
        if found.back_boottime >= 0:
            stays = f"{found.release_id} still runs in slot {found.slot}, without work"
        return f"it is not known that all users are in one slot ({shown}); {stays}. Look: {playbook('status')}"

    def _back(self, found: Probation) -> str:
        says = f"users are back on {found.previous_release_id}, and work follows"
        if found.back_boottime < 0:
            found = self._work_is_back(found, says)
        if found.withholds:
            waits = self._waits(found)
            used = busy.lasting(self._paths, found.slot) if waits > 0 else 0
            if used:
                counted = "1 connection" if used == 1 else f"{used} connections"
                return f"{says}; {found.release_id} has {counted}, and is given another {waits:.0f} s at most"
            with self._step(found, "withhold"):
                refused = self._make_slot(self._paths, found.slot)
                refused.withhold(found.release_id, kept=found.kept_release_id)
                retire.carry_over(self.folder, found.run, found.slot)
            runs_on = found.release_id == found.kept_release_id
            done = "runs on, as roll_back goes to it," if runs_on else "is stopped, and kept for a look at it"
            says = f"{says}; {found.release_id} {done} in slot {found.slot}"
        probation.forget(self.folder)
        return says

    def _work_is_back(self, found: Probation, says: str) -> Probation:
        left = self._make_slot(self._paths, found.slot)
        live = self._make_slot(self._paths, found.previous_slot)
        with self._step(found, "workers", says):
            held = live.holds(found.previous_release_id)
            handover.hand_over(left, live, found.kinds if held else (), found.previous_release_id if held else None)
        found = found._replace(back_boottime=self._clock.boottime(), boot_id=self._clock.boot_id())
        probation.write(self.folder, found)
        return found

    def _waits(self, found: Probation) -> float:
        """Returns for how many seconds connections are waited for; none survives a boot."""
        if found.boot_id != self._clock.boot_id():
            return 0.0
        return found.drain_seconds + retire.TURN - (self._clock.boottime() - found.back_boottime)

    def _step(self, found: Probation, step: str, detail: str | None = None) -> t.ContextManager[None]:
        return journal.step(
            self.folder, found.run, step, self._clock, actor=ACTOR, source="the timer of this host", detail=detail
        )
