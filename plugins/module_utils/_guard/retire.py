# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A slot that was kept warm for long enough stops; this host decides, not the machine that drove the run. PRIVATE.

retire.json on an application host says which slot stops when. Any newer run on the host voids it, unless it says so.
"""

from __future__ import annotations

import os
import typing as t

from .._foundation import durable
from .._foundation.clock import Clock
from .._foundation.lock import Busy
from .._slots.definition import KINDS
from .._slots.record import Paths
from .._slots.slot import Slot
from .._state import fields, journal
from .._state import lease as leases
from .._state import state as states
from .._state.run import Run, parsed
from . import busy
from . import change as changes

SCHEMA = 1
FILE = "retire.json"
TURN = 60.0  # s between two looks of the timer


class Plan(t.NamedTuple):
    """*slot* stops when *due_boottime* of the boot *boot_id* has come, *seconds* after it was planned by *run*.

    While it has connections then, it is waited for: *drain_seconds* and a turn of the timer at most.
    """

    run: Run
    slot: str
    seconds: float
    due_boottime: float
    boot_id: str
    drain_seconds: float = 0.0


def schedule(folder: str, run: Run, slot: str, seconds: float, clock: Clock, drain_seconds: float = 0.0) -> None:
    """Plans the retirement of *slot*. The caller is alone()."""
    _write(folder, Plan(run, slot, seconds, clock.boottime() + seconds, clock.boot_id(), drain_seconds))


def _write(folder: str, plan: Plan) -> None:
    durable.write_json(os.path.join(folder, FILE), {"schema": SCHEMA, **plan._asdict(), "run": plan.run.to_dict()})


def read(folder: str) -> Plan | None:
    """Returns what is planned. Raises StateUnreadable."""
    return durable.read_parsed(
        os.path.join(folder, FILE),
        _parsed,
        schema=SCHEMA,
        what="The planned retirement of a slot",
        expected=", ".join(Plan._fields),
    )


def _parsed(content: t.Mapping[str, t.Any]) -> Plan:
    return Plan(
        parsed(content.get("run")),
        t.cast(str, fields.choice(content, "slot", states.SLOTS)),
        fields.seconds(content, "seconds"),
        fields.seconds(content, "due_boottime"),
        fields.text(content, "boot_id"),
        fields.seconds(content, "drain_seconds") if "drain_seconds" in content else 0.0,
    )


class Due(t.Protocol):
    """What happens when *due_boottime* of the boot *boot_id* has come, *seconds* after it was planned."""

    @property
    def seconds(self) -> float: ...

    @property
    def due_boottime(self) -> float: ...

    @property
    def boot_id(self) -> str: ...


def left(plan: Due, clock: Clock) -> float:
    """Returns the seconds until *plan* is due, 0 or less when it is. After a boot the whole time counts again."""
    due = plan.due_boottime if plan.boot_id == clock.boot_id() else clock.started() + plan.seconds
    return due - clock.boottime()


def forget(folder: str) -> None:
    """Nothing is planned any more. The caller is alone()."""
    durable.remove(os.path.join(folder, FILE))


def carry_over(folder: str, run: Run, slot: str) -> None:
    """What was planned for *slot* still holds, although *run*, a newer one, was here. The caller is alone()."""
    plan = read(folder)
    if plan is not None and plan.slot == slot:
        _write(folder, plan._replace(run=run))


def retire_due(application: str, clock: Clock, make_slot: t.Callable[[Paths, str], Slot] = Slot) -> str:
    """What the timer calls: stops what is due. Returns a sentence, or an empty string when there was nothing to do."""
    folder = states.folder_of(application)
    if read(folder) is None:  # the usual answer needs no lock
        return ""
    try:
        with changes.alone(folder, 0.0):
            plan = read(folder)
            says = _done(folder, application, plan, clock, make_slot) if plan else ""
            return f"{application}: {says}" if says else ""
    except Busy:
        return ""  # a run is at work here; the timer looks again in a minute


def _done(folder: str, application: str, plan: Plan, clock: Clock, make_slot: t.Callable[[Paths, str], Slot]) -> str:
    """Returns what was done about *plan*; an empty string when it is not due."""
    try:
        leases.fence(folder, plan.run, clock)
    except leases.LeaseLost:
        forget(folder)
        return f"a newer run was here, slot {plan.slot} is not retired"
    if left(plan, clock) > 0:
        return ""
    waits = plan.drain_seconds + TURN + left(plan, clock) if plan.drain_seconds else 0.0
    used = busy.lasting(Paths(application), plan.slot) if waits > 0 else 0
    if used:
        says = f"it has {used} connections, and is waited for another {waits:.0f} s at most"
        return f"slot {plan.slot} is not retired yet: {says}"
    with journal.step(folder, plan.run, "retire", clock):
        outcome = make_slot(Paths(application), plan.slot).switch_processes([], kinds=KINDS, on=False)
    forget(folder)
    return f"slot {plan.slot} was kept warm for {plan.seconds:g} s and is retired ({len(outcome.actions)} steps)"
