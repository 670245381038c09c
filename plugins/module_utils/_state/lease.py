# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may change an application now: one holder, and a number that only grows. PRIVATE to the collection.

The file is lease.json beside state.json; it stays after its release, because it remembers the number. On app hosts,
fence.json remembers the newest number that was seen there. Time is boot time: no jump of a clock ends a lease.
"""

from __future__ import annotations

import contextlib
import os
import types
import typing as t

from .._foundation import durable
from .._foundation.clock import Clock
from .._foundation.errors import BadInput, RolloutError
from .._foundation.lock import exclusive
from . import fields, journal
from .run import Run

SCHEMA = 1
FILE = "lease.json"
FENCE_FILE = "fence.json"
LOCK_FILE = ".lock"
# A lock is held for one read and one write; who holds it longer has died on a dying disk.
LOCK_SECONDS = 10.0
NOBODY: t.Mapping[str, str] = types.MappingProxyType({})


class LeaseHeld(RolloutError):
    """Another run may change the application now; nothing was changed."""


class LeaseLost(RolloutError):
    """This run may not change the application any more; nothing was changed."""


class Lease(t.NamedTuple):
    """The content of lease.json. *acquired* and *renewed* are ISO times for people; *seconds* is how long it was given
    for; *expires_boottime* is when that ends, in seconds of the boot *boot_id*."""

    id: str
    epoch: int
    operation: str
    actor: str
    source: str
    acquired: str
    renewed: str
    seconds: float
    expires_boottime: float
    boot_id: str
    released: bool = False

    def to_dict(self) -> dict[str, t.Any]:
        """Returns the content of lease.json."""
        return {"schema": SCHEMA, **self._asdict()}


def read(folder: str) -> Lease | None:
    """Returns the lease in *folder*, released or not, or None when there never was one. Raises StateUnreadable."""
    return durable.read_parsed(
        os.path.join(folder, FILE),
        _parsed,
        schema=SCHEMA,
        what="The lease of the application",
        expected=", ".join(Lease._fields),
    )


def _parsed(content: t.Mapping[str, t.Any]) -> Lease:
    return Lease(
        id=fields.text(content, "id"),
        epoch=fields.whole(content, "epoch"),
        operation=fields.text(content, "operation"),
        actor=fields.text(content, "actor"),
        source=fields.text(content, "source"),
        acquired=fields.text(content, "acquired"),
        renewed=fields.text(content, "renewed"),
        seconds=fields.seconds(content, "seconds"),
        expires_boottime=fields.seconds(content, "expires_boottime"),
        boot_id=fields.text(content, "boot_id"),
        released=fields.flag(content, "released"),
    )


def remaining(lease: Lease, clock: Clock) -> float:
    """Returns for how many seconds from now *lease* keeps others out; 0.0 when it is released or over.

    What was left of it when the host went down is not known. After a boot its holder gets the time that it was given
    once more, from the start of that boot.
    """
    return 0.0 if lease.released else min(max(_ends(lease, clock) - clock.boottime(), 0.0), lease.seconds)


def over(lease: Lease, clock: Clock) -> float:
    """Returns for how many seconds a *lease* that nobody gave back has been over; 0.0 while it lasts."""
    return 0.0 if lease.released else max(clock.boottime() - _ends(lease, clock), 0.0)


def _ends(lease: Lease, clock: Clock) -> float:
    return lease.expires_boottime if lease.boot_id == clock.boot_id() else clock.started() + lease.seconds


def taken(
    stored: Lease | None,
    run: Run,
    seconds: float,
    clock: Clock,
    *,
    where: str,
    floor: int = 0,
    at_work: t.Mapping[str, str] = NOBODY,
    break_id: str | None = None,
    reason: str = "",
) -> tuple[Lease, str]:
    """Returns the lease that *run* gets in place of *stored*, and how: "", "stale" or "broken", as acquire tells it.

    Decides without touching a file (*where* is for messages), so that check mode can ask. *floor* is the newest epoch
    known from elsewhere. *at_work* says by id which runs change something at this moment, and where: the lease of such
    a run is not over, even if its time is. Raises LeaseHeld and BadInput.
    """
    if not fields.is_duration(seconds):
        raise BadInput(
            "A lease cannot be given for this time.", expected="more than 0 seconds", found=f"{seconds!r} seconds"
        )
    # A run that gave it back and begins again is one more rollout of the same playbook, with an epoch of its own.
    if stored is not None and stored.id == run.id and not stored.released:
        return _given(run, max(stored.epoch, run.epoch), seconds, clock, stored), ""
    how = ""
    if stored is not None and not stored.released:
        left = remaining(stored, clock)
        busy = at_work.get(stored.id, "")
        how = "broken" if left or busy else "stale"
        if left or busy:
            _check_break(stored, f"{left:.0f} s left{busy and ', ' + busy}", break_id, reason, where)
    newest = max(floor, stored.epoch if stored else 0)
    return _given(run, max(newest + 1, run.epoch), seconds, clock, None), how


def _given(run: Run, epoch: int, seconds: float, clock: Clock, before: Lease | None) -> Lease:
    now = clock.utc()
    return Lease(
        id=run.id,
        epoch=epoch,
        operation=run.operation,
        actor=run.actor,
        source=run.source,
        acquired=before.acquired if before else now,
        renewed=now,
        seconds=float(seconds),
        expires_boottime=clock.boottime() + seconds,
        boot_id=clock.boot_id(),
    )


def _check_break(stored: Lease, left: str, break_id: str | None, reason: str, where: str) -> None:
    """Raises unless the operator named the lease that is in the way, and says why it must go."""
    application = os.path.basename(os.path.dirname(where))
    # Quoted twice: Ansible splits key=value at blanks, after the shell has taken its quotes away.
    take_over = f"""-e rollout_break_lease={stored.id} -e "rollout_reason='why'\""""
    holder = f"run {stored.id}, {_who(stored)}, {left}"
    if break_id is None:
        raise LeaseHeld(
            f"Another run changes {application} now: {stored.operation} by {stored.actor} ({stored.source}).",
            expected="no other run in progress",
            found=holder,
            where=where,
            next_step=f"wait until it ends, or take over from it: {take_over}",
        )
    if break_id != stored.id:
        raise BadInput(
            f"The lease to break is not the one that holds {application}.",
            expected=f"rollout_break_lease={stored.id}",
            found=f"rollout_break_lease={break_id}; the holder is {holder}",
            where=where,
            next_step=f"wait until it ends, or take over from it: {take_over}",
        )
    if not reason.strip():
        raise BadInput(
            f"Breaking the lease of {application} needs a reason: it is recorded.",
            expected="rollout_reason with a sentence",
            found=f"no reason; the holder is {holder}",
            where=where,
            next_step=f"say why: {take_over}",
        )


def _who(lease: Lease) -> str:
    return f"{lease.operation} by {lease.actor} ({lease.source}) since {lease.acquired}"


def acquire(
    folder: str,
    run: Run,
    seconds: float,
    clock: Clock,
    *,
    floor: int = 0,
    at_work: t.Mapping[str, str] = NOBODY,
    break_id: str | None = None,
    reason: str = "",
) -> tuple[Lease, str]:
    """Gives the lease to *run* for *seconds*; makes the folder. A run that has it gets it renewed, with its epoch.

    *floor* and *at_work* are those of taken().
    Returns the lease, whose epoch the run must carry from now on, and how it was got: "" (free, or ours), "stale" (its
    holder never released it and its time is over) or "broken" (by *break_id*, the id of the holder, and *reason*).
    Raises LeaseHeld, StateUnreadable; BadInput when *break_id* or *reason* do not do; OSError when it cannot be kept.
    """
    path = os.path.join(folder, FILE)
    durable.make_folder(folder)
    with _locked(folder):
        stored = read(folder)
        if stored is None:  # somebody moved a damaged lease away: the journal has its numbers
            floor = max([floor, *(entry.epoch for entry in journal.read(folder))])
        lease, how = taken(
            stored, run, seconds, clock, where=path, floor=floor, at_work=at_work, break_id=break_id, reason=reason
        )
        durable.write_json(path, lease.to_dict())
    return lease, how


def check(folder: str, run: Run, clock: Clock) -> Lease:
    """Returns the lease when *run* still has it; one that is over but that nobody took is still its own.

    Raises LeaseLost when another run has or had it since, when it was released, or when there is none.
    """
    return _own(folder, run, read(folder), clock)


def _own(folder: str, run: Run, stored: Lease | None, clock: Clock | None) -> Lease:
    if stored is None:
        found = "no lease at all"
    elif stored.id != run.id or stored.epoch > run.epoch:
        left = "" if clock is None else f", {remaining(stored, clock):.0f} s left"
        found = f"run {stored.id} with epoch {stored.epoch}: {_who(stored)}{left}"
    elif stored.released:
        found = f"run {run.id} has ended: its lease was released after {stored.renewed}{_why_ended(folder, run)}"
    else:
        return stored
    raise _lost(run, found, os.path.join(folder, FILE))


def _why_ended(folder: str, run: Run) -> str:
    """Returns what the journal says of the end of *run*: a person may have ended it."""
    with contextlib.suppress(RolloutError, OSError):
        ends = [one.detail for one in journal.read(folder) if (one.run, one.step, one.phase) == (run.id, "end", "end")]
        return f"; {ends[-1]}" if ends and ends[-1] else ""
    return ""


def _lost(run: Run, found: str, where: str) -> LeaseLost:
    application = os.path.basename(os.path.dirname(where))
    return LeaseLost(
        f"Run {run.id} ({run.operation} by {run.actor}) may not change {application} any more, and changed nothing.",
        expected=f"the lease of run {run.id} with epoch {run.epoch}",
        found=found,
        where=where,
        next_step="somebody has taken over, or ended it: ask who that is, and see status, before you start anything",
    )


def renew(folder: str, run: Run, seconds: float, clock: Clock) -> Lease:
    """Gives *run* its own lease for *seconds* from now, and returns it. Raises LeaseLost as check does."""
    check(folder, run, clock)
    with _locked(folder):
        stored = check(folder, run, clock)
        lease, _how = taken(stored, run, seconds, clock, where=os.path.join(folder, FILE))
        durable.write_json(os.path.join(folder, FILE), lease.to_dict())
    return lease


def release(folder: str, run: Run) -> bool:
    """Ends the lease of *run*; the file and its epoch stay. Returns whether there was something to end.

    Raises LeaseLost when another run has it: the other's lease is left alone.
    """
    stored = read(folder)
    if stored is None or (stored.id == run.id and stored.released):
        return False
    with _locked(folder):
        stored = _own(folder, run, read(folder), None)
        return durable.write_json(os.path.join(folder, FILE), stored._replace(released=True).to_dict())


def fence(folder: str, run: Run, clock: Clock) -> bool:
    """Lets *run* through on an app host, which keeps no lease, unless a newer run was here. Makes the folder.

    Returns whether a newer epoch was noted. Raises LeaseLost, StateUnreadable.
    """
    path = os.path.join(folder, FENCE_FILE)
    durable.make_folder(folder)
    with _locked(folder):
        seen = _fence_at(path)
        if seen is not None:
            epoch, holder, since = seen
            if epoch > run.epoch or (epoch == run.epoch and holder != run.id):
                raise _lost(run, f"run {holder} with epoch {epoch}, on this host since {since}", path)
            if epoch == run.epoch:
                return False
        return durable.write_json(path, {"schema": SCHEMA, "epoch": run.epoch, "id": run.id, "at": clock.utc()})


def newest(folder: str) -> int:
    """Returns the newest epoch that an app host has seen, 0 when none. Raises StateUnreadable."""
    seen = _fence_at(os.path.join(folder, FENCE_FILE))
    return seen[0] if seen else 0


def _fence_at(path: str) -> tuple[int, str, str] | None:
    return durable.read_parsed(
        path, _parsed_fence, schema=SCHEMA, what="The newest epoch seen on this host", expected="epoch, id and at"
    )


def _parsed_fence(content: t.Mapping[str, t.Any]) -> tuple[int, str, str]:
    return fields.whole(content, "epoch"), fields.text(content, "id"), fields.text(content, "at")


def _locked(folder: str) -> t.ContextManager[None]:
    """Of two processes that read and then write in *folder*, one waits for the other. Raises Busy."""
    return exclusive(os.path.join(folder, LOCK_FILE), LOCK_SECONDS, "Another change of the lease")
