# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps that a run asks of a host: JSON in, JSON out. Those of application hosts are in work.py. PRIVATE."""

from __future__ import annotations

import contextlib
import functools
import time
import typing as t

from .._foundation.errors import BadInput, CommandFailed, RolloutError, StateUnreadable, playbook
from .._foundation.names import check_application
from .._state import journal, machine
from .._state import lease as leases
from .._state import state as states
from .._state.run import Run
from .._traffic import pointer as pointers
from .._traffic import switch as traffic
from .._traffic.driver import NotRunning
from . import revert as reverting
from . import tally
from . import view as views
from .begin import begin
from .call import Call, Result
from .guard import Arming, Guard
from .probe import Check

if t.TYPE_CHECKING:
    from .verify import Question

PROTOCOL = 3

Request = t.Mapping[str, t.Any]


def perform(request: Request, make_guard: t.Callable[[str], Guard] = Guard) -> Result:
    """Returns the result of one step. Raises RolloutError when it is refused or failed."""
    if request.get("protocol") != PROTOCOL:
        raise BadInput(
            "This host's program rollout-guard is of another version than the collection that calls it.",
            expected=f"protocol {PROTOCOL}",
            found=f"protocol {request.get('protocol')!r}",
            next_step=f"{playbook('provision')} installs the program of this collection",
        )
    step = STEPS.get(str(request.get("step")))
    if step is None:
        raise BadInput("There is no such step.", expected=", ".join(STEPS), found=repr(request.get("step")))
    guard = make_guard(check_application(str(request["application"])))
    call = Call(
        guard,
        Run.from_dict(request["run"]),
        str(request["environment"]),
        request.get("parameters") or {},
        bool(request.get("check")),
    )
    return step(call)


def info(call: Call) -> Result:
    """Changes nothing; what contradicts itself is told, too."""
    return {"changed": False, "view": views.look(call.guard, environment=call.environment)}


def adopt(call: Call) -> Result:
    """This host was left behind: traffic goes where the fleet's newest confirmation says. Parameter: state."""
    wanted = states.from_dict(call.parameters["state"], "the state of the leading load balancer")
    if wanted.live is None:
        raise BadInput("There is nothing to follow.", expected="a state with a live slot", found="none")
    if call.check:
        return {"changed": True}
    guard = call.guard
    call.alive()
    try:
        traffic.wait_for_servers(guard.api, guard.application, wanted.live, 1, float(call.parameters.get("wait") or 30))
    except CommandFailed as error:
        in_file = pointers.read_file(guard.application, guard.map_path)
        stay = in_file.target if in_file else None
        raise CommandFailed(
            f"This load balancer was left behind, and slot {wanted.live}, where the others are, does not answer: "
            f"users stay on slot {stay or 'none'} here.",
            found=error.found,
            next_step=f"{playbook('roll_back')} brings all to a confirmed release, which it starts first",
        ) from error
    with call.alone("adopt"):
        return {"changed": guard.follow(call.run, wanted)}


def renew(call: Call) -> Result:
    """The run is alive, although it is at work elsewhere: its lease, and its guard, last for as long again."""
    call.alive()
    if not call.check:
        call.guard.renew(call.run)
    return {"changed": False}


def arm(call: Call) -> Result:
    """Parameters: instances, wait, deadline (seconds), check (path, status, host), public_url, verify of the switch."""
    call.may("arm")
    _question(call)  # an expression that cannot be used is refused while nothing has changed
    if call.check:
        return {"changed": True, "token": None}
    asked, guard, target = call.parameters, call.guard, t.cast(str, call.run.slot)
    check = Check(str(asked["check"]["path"]), int(asked["check"]["status"]), str(asked["check"]["host"]))
    wanted, wait = int(asked.get("instances") or 1), float(asked.get("wait") or 30)
    known = guard.instances(target, wanted, wait, _now_and_then(call.alive))
    with call.alone("arm"):
        intent = guard.arm(
            call.run,
            Arming(target, call.run.previous, float(asked["deadline"]), check, known, str(asked["public_url"])),
        )
    return {"changed": True, "token": intent.token, "deadline": intent.deadline_seconds}


def switch(call: Call) -> Result:
    """Parameters: verify (see Question), guarded (true unless the plan allows no_guard)."""
    if not call.guarded:
        _question(call)  # nobody has armed with it
    guard, target = call.guard, t.cast(str, call.run.slot)
    wanted = pointers.Pointer(target, None, 0)
    before = _pointers(call)
    diff = {"before": _shown(call, *before), "after": _shown(call, wanted, wanted)}
    if call.check:
        return {"changed": before != (wanted, wanted), "diff": diff}
    with call.alone("switch"):
        if before != (wanted, wanted):
            tally.remember_switch(guard.api, guard.application, guard.folder, call.run)
        changed = guard.switch(call.run, target, guarded=call.guarded)
    result: Result = {"changed": changed, "diff": diff}
    question = _question(call)
    if question is not None:
        result["summary"] = question.ask()
    return result


def shift(call: Call) -> Result:
    """A share of the users gets the release. Parameter: weight, 1 to 99 %."""
    weight, target = int(call.parameters["weight"]), t.cast(str, call.run.slot)
    if not 0 < weight < 100 or not call.run.previous:
        raise BadInput(
            "Traffic can be shared between two slots only.",
            expected="a share of 1 to 99 %, and a slot that has the rest",
            found=f"{weight} %, and {call.run.previous or 'no slot'}",
        )
    wanted = pointers.Pointer(call.run.previous, target, weight)
    diff = {"before": _shown(call, *_pointers(call)), "after": _shown(call, wanted, wanted)}
    if call.check:
        return {"changed": True, "diff": diff}
    with call.alone("shift"):
        return {"changed": call.guard.shift(call.run, target, weight), "diff": diff}


def _pointers(call: Call) -> tuple[pointers.Pointer | None, pointers.Pointer | None]:
    """Returns the pointers in the file and in use. In check mode, when nobody routes, the file stands for both."""
    guard = call.guard
    try:
        return traffic.provisioned(guard.api, guard.application, guard.map_path)
    except NotRunning:
        if not call.check:
            raise
    in_file = pointers.read_file(guard.application, guard.map_path)
    return in_file, in_file


def _shown(call: Call, in_file: pointers.Pointer | None, in_use: pointers.Pointer | None) -> dict[str, str | None]:
    """Returns the pointers for a diff; the load balancer's own only where it is another one."""
    told = {"traffic pointer": in_file.text() if in_file else None}
    if in_use != in_file:
        told[f"traffic pointer of {call.guard.api.name}"] = in_use.text() if in_use else None
    return told


def drain(call: Call) -> Result:
    """Waits for the slot that lost its traffic. Parameters: slot, deadline, required, clearing_up (after a failure).

    early: parameters of the step watch, for gates on what users get from now on until the bake begins. Raises TakenBack
    when these refuse the release meanwhile.
    """
    slot, deadline = str(call.parameters["slot"]), float(call.parameters["deadline"])
    guard = call.guard

    def lives() -> None:
        try:
            call.alive()
        except leases.LeaseLost:
            if not call.parameters.get("clearing_up") or not _was_ended(call):
                raise

    lives()
    if call.check:
        return {"changed": False, "drained": False, "in_flight": 0, "seconds": 0.0}
    alive, early = _now_and_then(lives), _Early(call)
    early.check()
    for used in traffic.current(guard.api, guard.application, guard.map_path):
        if used and (used.live == slot or (used.candidate == slot and used.weight)):
            raise BadInput(
                f"Slot {slot} of {guard.application} cannot drain: it gets traffic.",
                expected=f"a traffic pointer without {slot}",
                found=used.text(),
                where=guard.map_path,
                next_step="move the traffic to the other slot first",
            )

    early.begin()

    def between() -> None:
        alive()
        early.check()

    ended = traffic.drain(guard.api, guard.application, slot, deadline, while_waiting=between)
    if not ended.done and call.parameters.get("required", True):
        where, look = guard.api.in_flight_hint(guard.application, slot)
        raise RolloutError(
            f"Slot {slot} of {guard.application} still has requests in flight; nothing of it was stopped.",
            expected=f"0 requests in flight within {deadline:g} s",
            found=f"{ended.in_flight} in flight or queued",
            where=where,
            next_step=f"{look}; raise rollout_drain_deadline if they are meant to last",
        )
    return {"changed": False, "drained": ended.done, "in_flight": ended.in_flight, "seconds": ended.seconds}


class _Early:
    """The watch from a switch to its bake; nothing where that has no gates."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._told = call.parameters.get("early") or {}
        self._wanted = bool(self._told.get("gates"))

    def begin(self) -> None:
        """Gates look from now on."""
        if self._wanted:
            from . import watching  # noqa: PLC0415 - all samplers: loaded when needed

            watching.begin(self._call._replace(parameters={**self._told, "early": True}))

    def check(self) -> None:
        """Raises TakenBack when they refuse the release."""
        if self._wanted:
            from . import early  # noqa: PLC0415 - loaded when needed

            early.must_not_have_refused(self._call, self._told["phase"])


def verify(call: Call) -> Result:
    """Users still get what they must get, and traffic is where this run says. Parameter: verify."""
    call.alive()
    question = t.cast("Question", _question(call))
    if call.check:
        return {"changed": False}
    call.guard.must_serve(t.cast(str, call.run.slot))
    return {"changed": False, "summary": question.ask()}


def _question(call: Call) -> Question | None:
    """Returns what the parameter verify asks. Raises BadInput for what can never be asked."""
    from .verify import Question  # noqa: PLC0415 - loaded when needed: users wait for a switch

    verify = call.parameters.get("verify")
    return Question(verify) if verify else None


def _now_and_then(what: t.Callable[[], None], seconds: float = 1.0) -> t.Callable[[], None]:
    """Returns a function that calls *what* when *seconds* have passed since it last did."""
    last = [time.monotonic()]

    def sometimes() -> None:
        if time.monotonic() - last[0] >= seconds:
            last[0] = time.monotonic()
            what()

    return sometimes


def confirm(call: Call) -> Result:
    """Parameters: release (dict), token, verify (needed here), approved_by (else what the watch of this run tells).

    Also gives the lease back: the run is over.
    """
    guard, run = call.guard, call.run
    if call.check:
        return {"changed": True}
    known = guard.state()
    if known is not None and _is_over(call):
        return {"changed": False, "state": known.to_dict()}
    question = _question(call)
    if question is None:
        raise BadInput("A release is confirmed only by what users get.", expected="the parameter verify", found="none")
    with call.alone("confirm"):
        state = guard.confirm(
            run,
            dict(call.parameters["release"]),
            token=call.parameters.get("token"),
            environment=call.environment,
            question=question,
            approved_by=str(call.parameters.get("approved_by") or _approver(call)),
        )
    tally.remember(
        guard.api, guard.application, guard.folder, t.cast(str, run.slot), str(call.parameters["release"]["id"])
    )
    with contextlib.suppress(leases.LeaseLost):  # broken by a person while it was confirmed: it is, all the same
        leases.release(guard.folder, run)
    return {"changed": state != known, "state": state.to_dict()}


def _approver(call: Call) -> str:
    """Returns who has ended the watch of this run before its time; an empty text when its gates have."""
    from . import watch_files  # noqa: PLC0415 - loaded when needed: users wait for a switch

    try:
        seen = watch_files.read_seen(call.guard.folder) or {}
    except StateUnreadable:  # its file need not outlive a power cut, and this is a remark in the history
        return ""
    mine = seen.get("run") == [call.run.id, call.run.epoch]
    return str(seen["approved"]) if mine and seen["approved"] else ""


def _is_over(call: Call) -> bool:
    """Whether this run has confirmed and given its lease back, and only its answer was lost."""
    lease = leases.read(call.guard.folder)
    if lease is None or not lease.released or (lease.id, lease.epoch) != (call.run.id, call.run.epoch):
        return False
    last = machine.standing(journal.read(call.guard.folder))
    return last is not None and (last.run, last.step, last.phase, last.outcome) == (
        call.run.id,
        "confirm",
        "end",
        "done",
    )


def revert(call: Call) -> Result:
    """Takes back this run's switch. Parameter: reason."""
    if call.check or _was_ended(call):
        return {"changed": False}
    with call.alone("revert"):
        reason = str(call.parameters.get("reason") or "the run failed")[:300]
        return {"changed": reverting.revert(call.guard, call.run, reason)}


def end(call: Call) -> Result:
    """The run ends without a confirmation. Parameters: release (dict) and reason when it was refused."""
    guard, run = call.guard, call.run
    if call.check or not _holds(call):
        return {"changed": False}
    with guard.alone():
        if not _holds(call):
            return {"changed": False}
        release, reason = call.parameters.get("release"), str(call.parameters.get("reason") or "")
        with journal.step(guard.folder, run, "end", guard.clock, detail=reason[:300] or None):
            if release and run.slot:
                refuse(call, dict(release), reason)
            epoch = t.cast(leases.Lease, leases.read(guard.folder)).epoch
            leases.release(guard.folder, run._replace(epoch=epoch))
        _watched_no_more(call)
    return {"changed": bool(release)}


def _was_ended(call: Call) -> bool:
    """Whether a person has ended this run before it moved anything here: then there is nothing to take back."""
    guard, run = call.guard, call.run
    lease = leases.read(guard.folder)
    ended = lease is not None and (lease.id, lease.epoch, lease.released) == (run.id, run.epoch, True)
    return ended and guard.intent() is None and not guard.moved_to(run.slot)


def _watched_no_more(call: Call) -> None:
    """Without a guard, nothing else ends a watch before a bake that never begins."""
    from . import watch_files  # noqa: PLC0415 - loaded when needed: users wait for a switch

    watch_files.forget(call.guard.folder, call.run)


def _holds(call: Call) -> bool:
    """Whether the lease is this run's; its epoch is not asked, for a begin whose answer was lost has told none."""
    lease = leases.read(call.guard.folder)
    return lease is not None and lease.id == call.run.id and not lease.released


def refuse(call: Call, release: dict[str, str], reason: str) -> None:
    """Records that the release of this run was refused."""
    guard, run = call.guard, call.run
    after, _entry = states.refused(
        guard.state() or states.State(guard.application, call.environment),
        operation=run.operation,
        slot=t.cast(str, run.slot),
        release=release,
        by=run.actor,
        at=guard.clock.utc(),
        reason=reason,
    )
    states.save(after, guard.root)


def _watching(name: str, call: Call) -> Result:
    """A step that asks for a watch, or looks at one."""
    from . import watching  # noqa: PLC0415 - loaded when needed: users wait for a switch

    return watching.STEPS[name](call)


def _on_application_host(name: str, call: Call) -> Result:
    """A step of an application host."""
    from . import work  # noqa: PLC0415 - loaded when needed: users wait for a switch

    return work.STEPS[name](call)


STEPS: dict[str, t.Callable[[Call], Result]] = {
    "info": info,
    "begin": begin,
    "renew": renew,
    "adopt": adopt,
    "arm": arm,
    "shift": shift,
    "switch": switch,
    "drain": drain,
    "verify": verify,
    "confirm": confirm,
    "revert": revert,
    "end": end,
    **{name: functools.partial(_watching, name) for name in ("watch", "watched", "approve", "approved", "unwatch")},
    **{name: functools.partial(_on_application_host, name) for name in ("wake", "workers", "stop", "retire")},
}
