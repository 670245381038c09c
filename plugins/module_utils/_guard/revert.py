# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A switch is taken back: by its run, by the guard when nobody confirmed, or by the next run. PRIVATE.

The intent goes last, so that whoever dies in here leaves the work to the next one who looks.
"""

from __future__ import annotations

import contextlib
import typing as t

from .._foundation.errors import CommandFailed, StateUnreadable
from .._state import intent as intents
from .._state import journal
from .._state.intent import Intent
from .._state.recovery import Action
from .._state.run import Run
from .._traffic import pointer as pointers
from . import decision, view
from .guard import Guard, towards
from .place import ACTOR, Place

KEPT = "keep"


def revert(guard: Place, run: Run, reason: str) -> bool:
    """*run* takes its own switch back: it has reasons. Returns whether traffic moved.

    What is confirmed stays: going back from there is a roll back. Raises CommandFailed when only the slot that it moved
    traffic to answers: that one keeps the traffic, and a person must look. When none answers, the release that was good
    before gets it.
    """
    with guard.alone():
        intent = guard.intent()
        if intent is not None and intent.run.id != run.id:
            return False
        run = towards(run, intent) if intent else run
        moved = guard.moved_to(run.slot) and not _recorded(guard, run, intent)
        if intent is None and not moved:
            return False
        with journal.step(guard.folder, run, "revert", guard.clock, detail=reason):
            # Before a first rollout there was nothing: that needs no answer.
            if moved and run.previous and _only(guard, run, intent):
                raise _nowhere(guard, run, intent)
            moved = guard.point(run.previous) if moved else False
            guard.disarm(intent)
            return moved


def _only(guard: Place, run: Run, intent: Intent | None) -> bool:
    """Whether the slot that *run* moved traffic to answers, and the one before it does not, however often one asks."""
    return not guard.answers_in_the_end(run.previous, intent) and guard.answers(run.slot, intent)


def _nowhere(guard: Place, run: Run, intent: Intent | None) -> CommandFailed:
    """The slot before is dead, the refused one serves: leaves traffic there and returns the failure that says so."""
    says = f"traffic stays on {run.slot}, which was refused: {run.previous} does not answer"
    guard.point(run.slot)  # a revert that was cut off may have left the load balancer and the file apart
    if intent is not None:
        intents.write(guard.folder, intent._replace(status="inconsistent", says=f"{says}; a person must look"))
    return CommandFailed(
        f"Users cannot go back: {says}.",
        expected=f"an instance of slot {run.previous} that answers",
        found=f"none; slot {run.slot} answers",
        next_step="deploy a version that works; it takes the slot that is dead",
    )


def _recorded(guard: Place, run: Run, intent: Intent | None) -> bool:
    """Whether the state says that traffic belongs where *run* moved it."""
    state = guard.state()
    return guard.confirmed(run) if intent else state is not None and state.live == run.slot


def recover(guard: Guard, run: Run, finding: view.Finding) -> tuple[str, str]:
    """Does for *run*, which begins, what is right for what an earlier one left. The caller has been alone since find().

    Returns what was done (an action, or KEPT) and says it. Raises ImpossibleState, CommandFailed.
    """
    if finding.action is Action.REPAIR:
        in_file = pointers.read_file(guard.application, guard.map_path) or pointers.Pointer(None, None, 0)
        guard.api.set_pointer(guard.application, guard.map_path, in_file)
        again = view.find(guard)
        what, says = recover(guard, run, again) if again.action is not Action.REPAIR else (again.action.value, "")
        return what, " ".join(part for part in (finding.says, says) if part)
    intent = guard.intent()
    heir = heir_of(run, intent, finding)
    if finding.action is Action.REVERT:
        if _only(guard, heir, intent):
            return KEPT, _keep_for_good(guard, heir, intent)
        with journal.step(guard.folder, heir, "revert", guard.clock, detail="left by an earlier run"):
            guard.point(heir.previous)
            guard.disarm(intent)
    elif intent is not None:
        step = "confirm" if finding.action is Action.FINISH else "revert"
        with journal.step(guard.folder, heir, step, guard.clock, detail=f"left by an earlier run: {finding.says}"):
            guard.disarm(intent)
    return finding.action.value, finding.says


def heir_of(run: Run, intent: Intent | None, finding: view.Finding) -> Run:
    """Returns *run* as the one that answers for what was found."""
    if intent is not None:
        return towards(run, intent)
    entry = finding.entry
    return run._replace(slot=entry.slot, previous=entry.previous, release=entry.release) if entry else run


def _keep_for_good(guard: Place, heir: Run, intent: Intent | None) -> str:
    """There is nowhere to go back to, and a run is at work that will move traffic itself."""
    says = f"Only slot {heir.slot} answers, which was never confirmed: it keeps the traffic."
    with journal.step(guard.folder, heir, "revert", guard.clock, detail=says):
        guard.point(heir.slot)
        guard.disarm(intent)
    return says


def fire(guard: Place, *, boot: bool = False) -> str:
    """What the timer and the boot unit call: nobody confirmed. Returns one sentence for the system journal.

    Raises CommandFailed when it must be tried again (systemd does that in a second).
    """
    if guard.intent() is None:  # a name that nobody knows gets no folder
        return f"{guard.application}: nothing is armed"
    with guard.alone():
        intent = guard.intent()
        if intent is None:
            return f"{guard.application}: nothing is armed"
        if intent.status == "inconsistent":
            return f"{guard.application}: {intent.says}"
        left = intents.due(intent, guard.clock)  # nothing of what was armed before a boot; a run may have armed since
        if left > 0:
            guard.timer.start(intent.token, left)
            return f"{guard.application}: armed for another {left:.1f} s"
        when = "at boot" if boot else f"after {intent.deadline_seconds:g} s"
        patience = decision.BOOT_PATIENCE if boot else decision.PATIENCE
        return _unconfirmed(guard, intent, f"was not confirmed {when}", when, patience)


def refuse(guard: Place, run: Run, why: str) -> str:
    """A watch has found the release of *run* bad: what the guard does at its deadline is done now.

    Returns one sentence. Raises CommandFailed when it must be tried again.
    """
    with guard.alone():
        intent = guard.intent()
        if intent is None or intent.run.id != run.id or intent.status == "inconsistent":
            return why
        return _unconfirmed(guard, intent, f"was refused ({why})", "at once", decision.PATIENCE)


def _unconfirmed(guard: Place, intent: Intent, why: str, when: str, patience: int) -> str:
    what, alive = _decided(guard, intent, patience)
    who = f"the switch of {guard.application} to {intent.target} by {intent.run.actor} {why}"
    if what == decision.WAIT:
        intents.write(guard.folder, intent._replace(attempts=intent.attempts + 1))
        silent = f"{intent.previous} does not answer" if alive else "no slot answers"
        raise CommandFailed(f"{who}; {silent}, looking again", where=guard.intent_path)
    if what == decision.KEEP:
        return _keep(guard, intent, who, when, alive=alive)
    if what == decision.FINISH:
        says = f"the switch of {guard.application} to {intent.target} by {intent.run.actor} is on record: it stays"
        with _noted(guard, intent, "confirm", says, when):
            guard.point(intent.target)
            guard.disarm(intent)
        return says
    back = what == decision.REVERT
    says = f"{who}: traffic is back on {intent.previous}" if back else f"{who}; traffic had not moved"
    with _noted(guard, intent, "revert", says, when):
        if back:
            guard.point(intent.previous)
        guard.disarm(intent)
    return says


def _decided(guard: Place, intent: Intent, patience: int) -> tuple[str, bool]:
    """Returns the decision, and whether the target answers, if that had to be asked."""
    moved = guard.moved_to(intent.target)
    try:
        confirmed = guard.confirmed(towards(intent.run, intent))
    except StateUnreadable:  # nobody can tell, and the slot before was good
        confirmed = False
    ask = moved and not confirmed
    previous = ask and guard.answers(intent.previous, intent)
    target = ask and not previous and guard.answers(intent.target, intent)
    what = decision.decide(
        moved=moved,
        confirmed=confirmed,
        previous_answers=previous,
        target_answers=target,
        attempts=intent.attempts,
        patience=patience if intent.previous else 0,
    )
    return what, target


def _keep(guard: Place, intent: Intent, who: str, when: str, *, alive: bool) -> str:
    earlier = f"{intent.previous} does not answer" if intent.previous else "there is no earlier slot"
    answers = f"{intent.target} does" if alive else "nothing else answers"
    says = f"{who}, but {earlier} and {answers}: a person must look"
    guard.point(intent.target)  # a revert that was cut off may have left the load balancer and the file apart
    intents.write(guard.folder, intent._replace(status="inconsistent", says=says))
    _note(guard, intent, "revert", "begin", None, says, when)
    _note(guard, intent, "revert", "end", "failed", says, when)
    return says


@contextlib.contextmanager
def _noted(guard: Place, intent: Intent, step: str, says: str, when: str) -> t.Iterator[None]:
    """Journals what the guard does. A disk that takes no line must not keep users on a bad release."""
    _note(guard, intent, step, "begin", None, says, when)
    try:
        yield
    except BaseException as error:
        _note(guard, intent, step, "end", "failed", str(error).partition("\n")[0], when)
        raise
    _note(guard, intent, step, "end", "done", says, when)


def _note(guard: Place, intent: Intent, step: str, phase: str, outcome: str | None, says: str, when: str) -> None:
    with contextlib.suppress(OSError):
        journal.append(
            guard.folder,
            towards(intent.run, intent),
            step,
            phase,
            clock=guard.clock,
            outcome=outcome,
            detail=says,
            actor=ACTOR,
            source=when,
        )
