# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps that a run asks of an application host: processes of its slots start and stop. PRIVATE."""

from __future__ import annotations

import contextlib
import socket
import typing as t

from .._foundation.errors import BadInput
from .._slots import definition, handover, record
from .._slots.record import Paths
from .._slots.slot import Outcome, Slot
from .._state.state import other_slot
from . import busy
from . import change as changes
from . import probation as probations
from . import retire as retiring
from .call import Call, Result


def wake(call: Call) -> Result:
    """What is kept in a slot runs again. Parameters: slot, kinds, release_id; drain_seconds: for how long connections
    of another release in the slot are waited for.

    A host that was added later never held that release. Nothing else may get users there, so its slot is emptied.
    """
    paths, slot, release = Paths(call.guard.application), _slot(call, _name(call)), str(call.parameters["release_id"])
    kinds = _kinds(call)
    with _change(call, "wake"):
        stopped = _let_end(call, paths, release)
        held = slot.holds(release)  # what one empties nobody else may be filling
        outcome = slot.switch_processes([], kinds=kinds, on=True, release_id=release) if held else slot.empty()
    records = {name: record.read(paths, name) for name in definition.SLOTS}
    lacks = "" if held else f"does not hold release {release} in slot {_name(call)}: no users until the next deploy"
    warnings = [f"{socket.gethostname()} {said}" for said in (stopped, lacks) if said]
    return {
        **_told([outcome]),
        "held": held,
        "slots": {name: one.release_id for name, one in records.items()},
        "runs_scheduler": any("scheduler" in one.kinds_started for one in records.values()),
        **({"warnings": warnings} if warnings else {}),
    }


def _let_end(call: Call, paths: Paths, release: str) -> str:
    """What another release in the slot had begun may end, for drain_seconds at most: users wait for a roll back.

    Returns what is stopped all the same, or an empty string.
    """
    slot, seconds, clock = _name(call), float(call.parameters.get("drain_seconds") or 0), call.guard.clock
    replaced = record.read(paths, slot).release_id
    if call.check or seconds <= 0 or replaced in (None, release):
        return ""
    ends = clock.boottime() + seconds
    used = busy.lasting(paths, slot)
    while used and clock.boottime() < ends:
        used = busy.lasting(paths, slot)
    lasting = f"{used} connections that had not ended after {seconds:g} s"
    return f"stopped release {replaced} in slot {slot} with {lasting}" if used else ""


def stop(call: Call) -> Result:
    """Processes of a slot stop. Parameters: slots, kinds."""
    slots = [_choice("slot", name, definition.SLOTS) for name in call.parameters["slots"]]
    kinds = _kinds(call)
    with _change(call, "stop"):
        outcomes = [_slot(call, name).switch_processes([], kinds=kinds, on=False) for name in slots]
    return _told(outcomes)


def workers(call: Call) -> Result:
    """These kinds of work run in a slot, and no others. Parameters: slot, kinds, release_id, if_held, moves, probation.

    No work stays in the other slot; its scheduler stops before one starts here, so that on this host it never runs
    twice, and its workers finish their jobs while those here start. With moves: false, the other slot is left alone.
    With if_held, nothing starts on a host whose slot does not hold the release. probation: what this host does by
    itself when load balancers take users back, see probation.py.
    """
    release = call.parameters.get("release_id")
    new, old = _slot(call, _name(call)), _slot(call, other_slot(_name(call)))
    kinds, moves = _kinds(call), bool(call.parameters.get("moves", True))
    with _change(call, "workers"):
        _plan_probation(call)  # first: whoever dies after this leaves work that knows where to go
        lacking = bool(release and call.parameters.get("if_held")) and not new.holds(str(release))
        outcomes = handover.hand_over(
            old if moves else None, new, [] if lacking else kinds, None if lacking else release
        )
    return _told(outcomes)


def _plan_probation(call: Call) -> None:
    """What follows when users are taken back from what this run moves work to; nothing, where it moves none."""
    told = call.parameters.get("probation")
    if call.check:
        return
    if not told:
        probations.forget(call.guard.folder)
        return
    try:
        probations.plan(call.guard.folder, call.run, told, call.guard.clock)
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput("It is not clear what shall follow when users are taken back.", found=str(error)) from error


def _settled(call: Call) -> None:
    """What a run retires the other slot of, after its confirmation, is on probation no more."""
    if not call.check:
        probations.forget(call.guard.folder)


def retire(call: Call) -> Result:
    """A slot without traffic stops: now, or when the timer of this host finds it due.

    Parameters: slot, seconds; drain_seconds: for how long its connections are waited for when it is due.
    """
    slot, seconds = _name(call), float(call.parameters["seconds"])
    drain_seconds = float(call.parameters.get("drain_seconds") or 0)
    if seconds <= 0:
        with _change(call, "retire"):
            _settled(call)
            return _told([_slot(call, slot).switch_processes([], kinds=definition.KINDS, on=False)])
    with _change(call, "retire", detail=f"slot {slot} is planned for {seconds:g} s from now"):
        _settled(call)
        if not call.check:
            retiring.schedule(call.guard.folder, call.run, slot, seconds, call.guard.clock, drain_seconds)
    return {"changed": False}


def _change(call: Call, step: str, *, detail: str | None = None) -> t.ContextManager[None]:
    """Check mode leaves no trace."""
    if call.check:
        return contextlib.nullcontext()
    return changes.change(call.guard.folder, call.run, step, call.guard.clock, detail=detail)


def _slot(call: Call, name: str) -> Slot:
    return Slot(Paths(call.guard.application), name, check=call.check)


def _name(call: Call) -> str:
    return _choice("slot", call.parameters.get("slot"), definition.SLOTS)


def _kinds(call: Call) -> list[str]:
    return [_choice("kind", kind, definition.KINDS) for kind in call.parameters["kinds"]]


def _choice(what: str, told: t.Any, known: t.Sequence[str]) -> str:
    if told not in known:
        raise BadInput(f"There is no such {what}.", expected=" or ".join(known), found=repr(told))
    return t.cast(str, told)


def _told(outcomes: t.Sequence[Outcome]) -> Result:
    return {
        "changed": any(outcome.changed for outcome in outcomes),
        "actions": [action for outcome in outcomes for action in outcome.actions],
        "killed": [name for outcome in outcomes for name in outcome.killed],
        "diff": [outcome.result()["diff"] for outcome in outcomes],
        "instances": [instance for outcome in outcomes for instance in outcome.instances],
    }


STEPS: dict[str, t.Callable[[Call], Result]] = {"wake": wake, "workers": workers, "stop": stop, "retire": retire}
