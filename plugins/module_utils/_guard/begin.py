# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The step begin: the lease, and what an earlier run left. PRIVATE to the collection."""

from __future__ import annotations

import os
import typing as t

from .._foundation.errors import BadInput, NotFound, RolloutError, playbook
from .._state import intent as intents
from .._state import journal
from .._state import lease as leases
from .._state.recovery import Action, resumable
from .._state.run import Run
from .._traffic import pointer as pointers
from . import revert as reverting
from . import view as views
from .call import RESUMED, Call, Result
from .guard import Guard
from .place import WATCH_FILE

#: What an earlier run left is cleared without a question, because users do not notice it.
_HARMLESS = (Action.NOTHING, Action.ABANDON, Action.FINISH, Action.COMPLETE)


def begin(call: Call) -> Result:
    """Takes the lease, clears up what an earlier run left (parameter *recovery*), and says what there is.

    Parameters: lease_seconds, break_lease (an id), reason, recovery (revert, resume or ask); of the application hosts
    floor (the newest epoch that any of them saw) and at_work (where a run changes one of them now, by its id).
    """
    guard = call.guard
    _same_environment(call)
    if pointers.read_file(guard.application, guard.map_path) is None:
        raise NotFound(
            f"There is no traffic map for {guard.application} on this host.",
            expected=guard.map_path,
            next_step=f"provision the load balancer: {playbook('provision')}",
        )
    if call.check:
        return _would_begin(call)
    if call.run.operation == "roll_back":
        _end_waiting(call)
        _cut_short(call)
    before = leases.read(guard.folder)
    try:
        lease, took = leases.acquire(guard.folder, call.run, call.lease_seconds, guard.clock, **_known(call))
    except leases.LeaseHeld as error:
        if call.run.operation == "roll_back" and guard.state() is None:
            error.next_step = (
                "it is the first rollout, so there is no release to go back to: Ctrl-C in that run takes it back; "
                f"a bake that nobody attends ends with {playbook('confirm')}"
            )
        elif call.run.operation == "roll_back" and _nothing_moved(call):
            error.next_step = f"users are where they were confirmed; {error.next_step}"
        elif _watched(call, alone=True):
            error.next_step = f"end its bake first: {playbook('confirm')}, or {playbook('roll_back')}"
        raise
    run = call.run._replace(epoch=lease.epoch)
    call = call._replace(run=run)
    detail = _taken_over(before, took, str(call.parameters.get("reason") or ""))
    try:
        # Alone: what is found must still be so when it is dealt with, even if a run wakes up that lost its lease.
        with guard.alone():
            finding = views.find(guard)
            done, says = _recover(call, finding)
    except RolloutError as error:
        with journal.step(guard.folder, run, "end", guard.clock, detail=_sentences(detail, error.what)):
            leases.release(guard.folder, run)
        raise
    with journal.step(guard.folder, run, "begin", guard.clock, detail=detail):
        pass
    told = views.view(guard, finding, environment=call.environment, servers_too=False)
    told.update(action=done, says=_sentences(detail, says) or "", resume=done == RESUMED)
    # A lease is no change of what is rolled out: a run that finds everything as it should be has changed nothing.
    return {"changed": bool(says), "run": run.to_dict(), "view": told}


def _cut_short(call: Call) -> None:
    """What users have on probation has the lease until that ends. Who rolls back does not wait for it."""
    run = _on_probation(call)
    if run is not None:
        from .watcher import cut_short  # noqa: PLC0415 - loaded when needed: users wait for a roll back

        cut_short(call.guard, run, f"{call.run.actor} ({call.run.source}) rolled back")


def _on_probation(call: Call) -> Run | None:
    """Returns the deploy that has the lease and whose release is watched here, or whose switch is not confirmed yet: it
    drains, moves workers, or has died. None as well where a person breaks its lease: that is on record, with a reason;
    and where there is no slot to go back to, as then its release would stay, without a guard.
    """
    guard = call.guard
    if _watched(call):
        from . import watch_files  # noqa: PLC0415 - loaded when needed: users wait for a roll back

        asked = watch_files.read_asked(guard.folder)
        run = Run.from_dict(asked["run"]) if asked else None
        return run if run is not None and run.previous else None
    intent, lease = guard.intent(), leases.read(guard.folder)
    if intent is None or lease is None or lease.id != intent.run.id or call.parameters.get("break_lease"):
        return None
    if not intent.previous:
        return None
    held = leases.remaining(lease, guard.clock) > 0
    return intent.run if held and lease.operation == "deploy" else None


def _end_waiting(call: Call) -> None:
    """A deploy that has the lease and has moved nothing yet ends, whatever it waits for.

    Raises RolloutError that says so: who rolls back while it waits need not mean the release before the live one.
    """
    guard, by = call.guard, call.run
    with guard.alone():  # it does not arm meanwhile
        lease = leases.read(guard.folder)
        at_work = call.parameters.get("at_work") or {}
        if lease is None or lease.operation != "deploy" or lease.released:
            return
        if not leases.remaining(lease, guard.clock) and lease.id not in at_work:
            return
        if call.parameters.get("break_lease") or not _nothing_moved(call):
            return
        state = guard.state()
        live = state.live_record if state is not None else None
        ended = by._replace(id=lease.id, epoch=lease.epoch, operation=lease.operation, release=None)
        if live is not None and live.epoch == lease.epoch:  # it has confirmed, and is about to give its lease back
            if not call.check:
                leases.release(guard.folder, ended)
            return
        if _has_moved(call, lease):
            return
        if not call.check:
            _end(guard, ended, f"{by.actor} ({by.source}) rolled back before its switch")
    raise RolloutError(
        f"The deploy of {lease.actor} ({lease.source}) {'would end' if call.check else 'ends'}; it has moved no users, "
        "so nothing goes back.",
        expected="a release that users have got",
        found=f"run {lease.id} before its switch",
        where=guard.folder,
        next_step=f"nothing; to go back from {live.release['id']}, too, run {playbook('roll_back')} again"
        if live
        else "nothing; it was the first rollout",
    )


def _end(guard: Guard, run: Run, why: str) -> None:
    """Takes the lease of *run* away, so that its next look at this host is its last one."""
    from . import watch_files  # noqa: PLC0415 - loaded when needed: users wait for a roll back

    with journal.step(guard.folder, run, "end", guard.clock, detail=why):
        leases.release(guard.folder, run)
    watch_files.forget(guard.folder, run)


def _has_moved(call: Call, lease: leases.Lease) -> bool:
    """Whether the run of *lease* has ever moved users: what it takes back it clears up, and records, by itself."""
    mine = [one.step for one in journal.read(call.guard.folder) if (one.run, one.epoch) == (lease.id, lease.epoch)]
    return not {"shift", "switch", "revert"}.isdisjoint(mine)


def _nothing_moved(call: Call) -> bool:
    """Whether users have what was confirmed last, and nothing is about to change that."""
    guard = call.guard
    state, in_file = guard.state(), pointers.read_file(guard.application, guard.map_path)
    confirmed = pointers.Pointer(state.live if state else None, None, 0)
    return guard.intent() is None and in_file == confirmed


def _watched(call: Call, *, alone: bool = False) -> bool:
    """Whether users have a release that is watched here; *alone*: that nobody attends."""
    from . import watch_files  # noqa: PLC0415 - loaded when needed: users wait for a roll back

    if not os.path.exists(os.path.join(call.guard.folder, WATCH_FILE)):
        return False
    asked = watch_files.read_asked(call.guard.folder) or {}
    return asked.get("phase") in ("during_shift", "bake") and (bool(asked["alone"]) or not alone)


def _would_begin(call: Call) -> Result:
    """What begin would find in its way, and the view, with the traffic where begin would have put it."""
    guard = call.guard
    where = os.path.join(guard.folder, leases.FILE)
    stored = leases.read(guard.folder)
    if call.run.operation == "roll_back":
        _end_waiting(call)
    if call.run.operation != "roll_back" or _on_probation(call) is None:
        leases.taken(stored, call.run, call.lease_seconds, guard.clock, where=where, **_known(call))
    finding, intent = views.find(guard), guard.intent()
    resume = _resumes(call, finding, intent)
    told = views.view(guard, finding, environment=call.environment, servers_too=False)
    if finding.action is Action.REVERT and not resume:
        previous = reverting.heir_of(call.run, intent, finding).previous
        told["pointer"]["file"] = pointers.Pointer(previous, None, 0).text()
    return {"changed": bool(finding.says), "run": call.run.to_dict(), "view": {**told, "resume": resume}}


def _known(call: Call) -> dict[str, t.Any]:
    """Returns what decides besides the lease that is stored."""
    told = call.parameters
    return {
        "floor": int(told.get("floor") or 0),
        "at_work": told.get("at_work") or leases.NOBODY,
        "break_id": told.get("break_lease") or None,
        "reason": str(told.get("reason") or ""),
    }


def _taken_over(before: leases.Lease | None, took: str, reason: str) -> str | None:
    """Returns whose lease was taken, and why, for the journal. Pure."""
    if not took or before is None:
        return None
    whose = f"the lease of run {before.id} ({before.operation} by {before.actor}, {before.source})"
    return f"Broke {whose}: {reason}" if took == "broken" else f"Took over {whose}, whose time was over"


def _sentences(*parts: str | None) -> str | None:
    """Returns what there is of *parts* as one line, or None."""
    return ". ".join(part.rstrip(".") for part in parts if part) + "." if any(parts) else None


def _same_environment(call: Call) -> None:
    state = call.guard.state()
    if state is not None and state.environment != call.environment:
        raise BadInput(
            f"This host serves another environment of {call.guard.application}.",
            expected=f"environment {call.environment}, as rollout_environment of this run says",
            found=f"environment {state.environment}, as recorded at its first rollout",
            where=f"{call.guard.folder}/state.json",
            next_step="run with the inventory of that environment, or correct rollout_environment",
        )


def _recover(call: Call, finding: views.Finding) -> tuple[str, str]:
    """Does what the finding asks for. Returns it: the action, KEPT or RESUMED, and the same in words."""
    guard, policy = call.guard, call.policy
    if finding.action in _HARMLESS and finding.seen.intent == "none":
        return finding.action.value, finding.says
    then = views.find(guard, repaired=True) if finding.action is Action.REPAIR else finding
    if policy == "ask" and then.action is Action.REVERT:
        raise BadInput(
            "An earlier run was cut off after it had moved traffic, and rollout_recovery is ask.",
            expected="your choice",
            found=then.says,
            where=guard.folder,
            next_step="run again with -e rollout_recovery=revert (traffic goes back first) or "
            "-e rollout_recovery=resume (the same release goes on)",
        )
    if _resumes(call, finding, guard.intent()):
        guard.adopt(call.run)
        found = finding.says.partition(" Now: ")[0]
        return RESUMED, f"{found} Now: this run goes on with it, as rollout_recovery is resume."
    return reverting.recover(guard, call.run, finding)


def _resumes(call: Call, finding: views.Finding, intent: intents.Intent | None) -> bool:
    """Whether this deploy goes on where an earlier one was cut off: with the same release, if it tells which."""
    if call.policy != RESUMED or intent is None or {call.run.operation, intent.run.operation} != {"deploy"}:
        return False
    in_file = pointers.read_file(call.guard.application, call.guard.map_path)
    # A share of the users is not all of them: the gates of the shares were not passed.
    same = call.run.release in (None, intent.run.release) and (in_file is None or not in_file.weight)
    return same and resumable(finding.seen) and intents.due(intent, call.guard.clock) > 0
