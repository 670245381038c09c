# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps that ask for a watch over a phase of a rollout, and look at it; the watch itself is watcher.py. PRIVATE."""

from __future__ import annotations

import contextlib
import os
import typing as t

from .._foundation.errors import BadInput, CommandFailed, RolloutError, StateUnreadable, playbook
from .._gates import specification
from .._gates.decision import GO, HOLD
from .._state import intent as intents
from .._state import lease as leases
from . import early, samplers, tally, timer, watch_files
from . import revert as reverting
from .call import Call, Result
from .guard import Guard

_TOLD = ("phase", "gates", "seconds", "most", "public_url")
_ALONE = ("release", "verify", "lease_seconds")


def begin(call: Call) -> Result:
    """The step watch: something on this host is watched from now on, until it is decided or nobody needs it any more.

    Parameters: phase, gates ([gate, …]), seconds, most, public_url, shared, watches, users_optional, connections;
    early: nothing passes, it only refuses, until the watch of the phase itself begins;
    masked: what must not show in answers and words;
    application_host; alone: what nobody looks at is confirmed, or taken back, by the watch itself (release, verify,
    lease_seconds).
    Raises BadInput for gates that cannot be used, before anything is watched; TakenBack when an early watch of this run
    has refused the release.
    """
    guard = call.guard
    _may(call)
    warnings: list[str] = []
    wanted = _asked_for(call, warnings.append)
    gates = specification.read({wanted["phase"]: wanted["gates"]}, "rollout_gates")
    if call.check:
        return {"changed": False}
    # Whoever can never look must be told to the run, and not to a log.
    samplers.watched(gates, watch_files.place(guard.application, wanted), watch_files.times(wanted), guard.api)
    early.end(call, wanted["phase"])
    guard.timer.stop_watch()  # an old one must not speak for this one
    with guard.alone():
        if wanted["alone"]:
            _must_be_armed(call)
        watch_files.write_seen(guard.folder, watch_files.told(wanted, guard.clock), None)
        watch_files.write_asked(guard.folder, wanted)
        watch_files.looked(guard.folder, guard.clock)
    guard.renew(call.run)
    guard.timer.start_watch()
    return {"changed": False, "watch": wanted["id"], **({"warnings": warnings} if warnings else {})}


def _answered_before(
    call: Call, warn: t.Callable[[str], object]
) -> tuple[tally.Remembered | None, tally.Remembered | None]:
    """Returns what the live release had answered when it was confirmed, and the candidate when it got all users.

    *warn* is called with what a person must know: the files are not made to outlive a power cut, and a damaged one
    stops nobody.
    """
    guard, run = call.guard, call.run

    def known(read: t.Callable[[], tally.Remembered | None], says: str) -> tally.Remembered | None:
        try:
            return read()
        except StateUnreadable as error:
            warn(f"{error.what.rstrip('.')} ({error.where}): {says}")
            return None

    state = guard.state()
    live = state.slots[run.previous] if state is not None and run.previous else None
    before = known(
        lambda: tally.remembered(guard.api, guard.folder, run.previous, live.release["id"] if live else None),
        "the live release is judged by all that its slot has answered; the next confirmation writes it anew",
    )
    switched = known(
        lambda: tally.at_the_switch(guard.api, guard.folder, run),
        "the release is judged by what it answers from now on; the next switch writes it anew",
    )
    return before, switched


def _asked_for(call: Call, warn: t.Callable[[str], object]) -> watch_files.Told:
    """Returns the watch that the parameters of the step watch ask for."""
    before, switched = _answered_before(call, warn)
    told, run = call.parameters, call.run
    return {
        "id": os.urandom(8).hex(),
        "run": run.to_dict(),
        "environment": call.environment,
        **{key: told[key] for key in _TOLD},
        "shared": bool(told.get("shared")),
        "watches": max(1, int(told.get("watches") or 1)),
        "without_users": _without_users(told),
        "before": before.tally if before else None,
        "since": switched.tally if switched else None,
        "instances": switched.instances if switched else None,
        # Only what is needed here: it may hold passwords.
        "connections": {
            kind: connection
            for kind, connection in (told.get("connections") or {}).items()
            if any(gate.get("type") == kind for gate in told["gates"])
        },
        "masked": list(told.get("masked") or []) if told["gates"] else [],
        "alone": {key: told[key] for key in _ALONE} if told.get("alone") else None,
        "early": bool(told.get("early")),
    }


def _without_users(told: t.Mapping[str, t.Any]) -> str:
    """Returns what follows when too few users come. A run that looks on knows of those that other hosts have."""
    if told.get("users_optional"):
        return GO
    return "" if told.get("alone") or told["phase"] == "before_switch" else HOLD


def _must_be_armed(call: Call) -> None:
    """Raises BadInput: without a guard nothing would take back what a watch that died has not confirmed."""
    intent = call.guard.intent()
    if intent is None or intent.run.id != call.run.id or intents.due(intent, call.guard.clock) <= 0:
        raise BadInput(
            "Nobody would take this release back, so it cannot be left alone.",
            expected="a guard that this run has armed, before its deadline",
            found="none" if intent is None else f"one of run {intent.run.id}",
            where=call.guard.intent_path,
            next_step="leave rollout_guard and rollout_bake_attended as they are",
        )


def look(call: Call) -> Result:
    """The step watched: what a watch of this run has seen. Parameter: watch (its id).

    The run is alive, so its lease and the guard's deadline last for as long again.
    """
    _may(call)
    call.guard.renew(call.run)
    seen = _seen(call)
    watch_files.looked(call.guard.folder, call.guard.clock)
    return {"changed": False, "watch": seen}


def _seen(call: Call) -> watch_files.Told:
    """Returns what the watch has seen last. Raises RolloutError when it does not live any more."""
    guard = call.guard
    seen = watch_files.read_seen(guard.folder)
    mine = seen if seen is not None and seen["id"] == call.parameters["watch"] else None
    if mine is not None and (mine["ended"] or watch_files.alive(mine, guard.clock.boottime())):
        return mine
    raise RolloutError(
        "The watch over the release has died; nothing is known about it any more."
        if mine is not None or seen is None
        else "Another run watches on this host; the watch of this one has ended.",
        expected=f"a word of watch {call.parameters['watch']} within {watch_files.STALE:g} s",
        found=f"watch {seen['id']}" if seen is not None and mine is None else "none",
        where=timer.watch(guard.application),
        next_step=f"on this host: journalctl -u {timer.watch(guard.application)} -n 30",
    )


def approve(call: Call) -> Result:
    """The step approve: a watch ends now as if every gate had passed, as this run's actor wants it to.

    Needs no lease: the watch has it, of the run that began it. Without one that waits for a confirmation, the watch of
    the answer is None.
    """
    guard = call.guard
    with guard.alone():
        asked = watch_files.read_asked(guard.folder)
        if asked is None or asked.get("early") or asked["phase"] == "after_roll_back":
            return {"changed": False, "watch": None}
        silence = watch_files.silence(guard.folder, guard.clock)
        _must_be_attended(guard, asked, silence)
        if not call.check:
            _seen(call._replace(parameters={"watch": asked["id"]}))
            watch_files.write_asked(guard.folder, {**asked, "approved": f"{call.run.actor} ({call.run.source})"})
            watch_files.looked(guard.folder, guard.clock, seconds_ago=silence)  # that was the run, and not this one
    return {"changed": True, "watch": asked["id"]}


def _must_be_attended(guard: Guard, asked: watch_files.Told, silence: float) -> None:
    """Raises RolloutError: a watch that a run attends confirms nothing, and a run that has died will not."""
    if asked["alone"] or silence <= watch_files.STALE:
        return
    run = asked["run"]
    raise RolloutError(
        f"The run that would confirm this release has died: {run['operation']} {run['id']} by {run['actor']}.",
        expected=f"a look of it at this watch within {watch_files.STALE:g} s",
        found=f"none for {silence:.0f} s; without it the guard takes users back at its deadline",
        where=guard.folder,
        next_step=f"go on with it: {playbook('deploy')} -e rollout_recovery=resume; or back: {playbook('roll_back')}",
    )


def approved(call: Call) -> Result:
    """The step approved: how an approved watch has ended. Parameter: watch (its id)."""
    asked = watch_files.read_asked(call.guard.folder)
    if asked is not None and asked["id"] != call.parameters["watch"]:
        return {"changed": False, "watch": {"ended": GO, "says": f"the run went on to phase {asked['phase']}"}}
    return {"changed": False, "watch": _seen(call)}


def end(call: Call) -> Result:
    """The step unwatch: nobody needs this watch any more. Parameters: watch (its id; another one goes on), refused.

    *refused* is why, when another host of this run refuses the release: then users leave it at once.
    """
    guard, refused = call.guard, str(call.parameters.get("refused") or "")
    if call.check:
        return {"changed": False}
    with guard.alone():
        asked = watch_files.read_asked(guard.folder)
        if asked is None or asked["id"] != call.parameters["watch"]:
            return {"changed": False}
        armed = guard.intent() is not None
        if refused:
            with contextlib.suppress(CommandFailed):  # then the run that withdraws it asks once more, and says so
                reverting.refuse(guard, call.run, refused[:300])
        watch_files.remove_asked(guard.folder)  # the watch sees that, journals its end, and ends
        return {"changed": armed and guard.intent() is None}


def _may(call: Call) -> None:
    """Raises LeaseLost for a run that may not ask here any more. An application host keeps no lease.

    After a roll back that is confirmed there is no lease any more, and nothing that could be moved. But whoever has one
    then needs the host for more.
    """
    if call.check:
        return
    told, guard = call.parameters, call.guard
    if told.get("application_host"):
        leases.fence(guard.folder, call.run, guard.clock)
    elif told.get("phase") == "after_roll_back":
        lease = leases.read(guard.folder)
        if lease is not None and lease.id != call.run.id and leases.remaining(lease, guard.clock) > 0:
            raise RolloutError(
                "Another run is at work; what users went back to is not watched any more.",
                found=f"{lease.operation} by {lease.actor} ({lease.source}) since {lease.acquired}",
            )
    else:
        call.alive()


STEPS: dict[str, t.Callable[[Call], Result]] = {
    "watch": begin,
    "watched": look,
    "approve": approve,
    "approved": approved,
    "unwatch": end,
}
