# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work follows users who were taken back from a release on probation, without the machine that drove the run. PRIVATE.

Load balancers take traffic back alone, and have no way to application hosts. So these ask them, by their timer, where
users are. probation.json says what this host does when all of them have taken back; a newer run on the host voids it.
"""

from __future__ import annotations

import os
import queue
import threading
import time
import typing as t

from .._foundation import durable
from .._foundation.clock import Clock
from .._foundation.errors import StateUnreadable
from .._foundation.lock import Busy
from .._slots import handover
from .._slots.definition import KINDS
from .._slots.record import Paths
from .._slots.slot import Slot
from .._state import fields, journal
from .._state import lease as leases
from .._state import state as states
from .._state.run import Run, parsed
from .._traffic import pointer as pointers
from . import busy, retire
from . import change as changes

SCHEMA = 1
FILE = "probation.json"
#: What a load balancer is asked; it tells application hosts alone.
PATH = "/_rollout/pointer"
TIMEOUT = 2.0  # s, for one answer
_LONGEST_ANSWER = 100  # bytes

#: The pointer that a load balancer tells, or in words why it tells none; by its name.
Told = t.Mapping[str, t.Union[pointers.Pointer, str]]


class Probation(t.NamedTuple):
    """Users of *release_id* in *slot* may be taken back to *previous_release_id* in *previous_slot*.

    Then *kinds* of work run there, and with *withholds* the release stops, after its connections, which are waited for
    *drain_seconds* and a turn of the timer at most; *kept_release_id* runs on, even if it is the same. *load_balancers*
    are asked, by name, at address:port. What they say *seconds* after the plan was made is decided, at
    *due_boottime* of the boot *boot_id*. *back_boottime* is when work had moved back, -1 while it has not.
    """

    run: Run
    slot: str
    release_id: str
    previous_slot: str
    previous_release_id: str
    kept_release_id: str | None
    kinds: tuple[str, ...]
    load_balancers: t.Mapping[str, str]
    withholds: bool
    drain_seconds: float
    seconds: float
    due_boottime: float
    boot_id: str
    back_boottime: float = -1.0


def plan(folder: str, run: Run, told: t.Mapping[str, t.Any], clock: Clock) -> None:
    """Writes what *told* asks for: the fields from slot to seconds. The caller is alone(). Raises ValueError."""
    due = {"due_boottime": clock.boottime() + float(told["seconds"]), "boot_id": clock.boot_id()}
    _write(folder, _parsed({**told, **due, "back_boottime": -1.0, "run": run.to_dict()}))


def _write(folder: str, one: Probation) -> None:
    durable.write_json(os.path.join(folder, FILE), {"schema": SCHEMA, **one._asdict(), "run": one.run.to_dict()})


def read(folder: str) -> Probation | None:
    """Returns what is planned. Raises StateUnreadable."""
    path = os.path.join(folder, FILE)
    content = durable.read_json(path, schema=SCHEMA)
    if content is None:
        return None
    try:
        return _parsed(content)
    except ValueError as error:
        expected = ", ".join(Probation._fields)
        raise fields.unreadable("What follows a release on probation", path, error, expected) from error


def _parsed(content: t.Mapping[str, t.Any]) -> Probation:
    places = fields.mapping(content.get("load_balancers"), "load_balancers")
    if not places:
        raise ValueError("load_balancers is empty, so nobody says where users are")
    kinds = content.get("kinds")
    if not isinstance(kinds, (list, tuple)) or not set(map(str, kinds)) <= set(KINDS):
        raise ValueError(f"kinds is {fields.shown(kinds)}, not a list out of {', '.join(KINDS)}")
    back = content.get("back_boottime")
    return Probation(
        run=parsed(content.get("run")),
        slot=t.cast(str, fields.choice(content, "slot", states.SLOTS)),
        release_id=fields.text(content, "release_id"),
        previous_slot=t.cast(str, fields.choice(content, "previous_slot", states.SLOTS)),
        previous_release_id=fields.text(content, "previous_release_id"),
        kept_release_id=fields.text_or_none(content, "kept_release_id"),
        kinds=tuple(map(str, kinds)),
        load_balancers={str(name): fields.text(places, name) for name in places},
        withholds=fields.flag(content, "withholds"),
        drain_seconds=fields.seconds(content, "drain_seconds"),
        seconds=fields.seconds(content, "seconds"),
        due_boottime=fields.seconds(content, "due_boottime"),
        boot_id=fields.text(content, "boot_id"),
        back_boottime=-1.0 if back == -1 else fields.seconds(content, "back_boottime"),
    )


def forget(folder: str) -> None:
    """Nothing is planned any more. The caller is alone()."""
    durable.remove(os.path.join(folder, FILE))


def ask(places: t.Mapping[str, str], timeout: float = TIMEOUT) -> Told:
    """Returns what each of the load balancers at *places* tells; all are asked at once."""
    answers: queue.SimpleQueue[tuple[str, pointers.Pointer | str]] = queue.SimpleQueue()

    def put(name: str, place: str) -> None:
        answers.put((name, _pointer(place, timeout)))

    for one in places.items():
        threading.Thread(target=put, args=one, daemon=True).start()  # an answer byte by byte is not waited for
    told: dict[str, pointers.Pointer | str] = dict.fromkeys(places, f"no answer within {2 * timeout:g} s")
    ends = time.monotonic() + 2 * timeout
    try:
        for _place in places:
            name, answer = answers.get(timeout=max(0.0, ends - time.monotonic()))
            told[name] = answer
    except queue.Empty:
        pass
    return told


def _pointer(place: str, timeout: float) -> pointers.Pointer | str:
    import http.client  # noqa: PLC0415 - loaded when needed: users wait for a switch

    connection = http.client.HTTPConnection(place, timeout=timeout)
    try:
        connection.request("GET", PATH, headers={"Connection": "close"})
        answer = connection.getresponse()
        body = answer.read(_LONGEST_ANSWER).decode("ascii", "replace")
        return pointers.parse(body, place) if answer.status == 200 else f"status {answer.status}"
    except (OSError, http.client.HTTPException, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    except StateUnreadable:
        return "an answer that is no traffic pointer"
    finally:
        connection.close()


def users_are_in(slot: str, told: Told) -> bool:
    """Whether every load balancer tells that all users are in *slot*. Pure: who tells nothing has not told that."""
    wanted = pointers.Pointer(slot, None, 0)
    return bool(told) and all(one == wanted for one in told.values())


def follow_due(
    application: str,
    clock: Clock,
    make_slot: t.Callable[[Paths, str], Slot] = Slot,
    load_balancers: t.Callable[[t.Mapping[str, str]], Told] = ask,
) -> str:
    """What the timer calls: asks where users are, and does what follows.

    Returns a sentence, or an empty string when there was nothing to do.
    """
    folder = states.folder_of(application)
    found = read(folder)
    if found is None:
        return ""
    void = leases.newest(folder) > found.run.epoch
    told = {} if void else load_balancers(found.load_balancers)
    back, decided = users_are_in(found.previous_slot, told), retire.left(found, clock) <= 0
    if not (void or back or decided):
        return ""
    try:
        with changes.alone(folder, 0.0):
            if read(folder) != found:
                return ""  # another run's by now
            says = _followed(folder, application, found, back, told, clock, make_slot)
            return f"{application}: {says}" if says else ""
    except Busy:
        return ""  # a run is at work here; the timer looks again in a minute


def _followed(
    folder: str,
    application: str,
    found: Probation,
    back: bool,
    told: Told,
    clock: Clock,
    make_slot: t.Callable[[Paths, str], Slot],
) -> str:
    try:
        leases.fence(folder, found.run, clock)
    except leases.LeaseLost:
        forget(folder)
        return ""  # a newer run was here, and says where work is
    if back:
        return _back(folder, application, found, clock, make_slot)
    if users_are_in(found.slot, told):
        forget(folder)
        return f"users have kept {found.release_id}"
    shown = ", ".join(f"{name}: {one if isinstance(one, str) else one.text()}" for name, one in sorted(told.items()))
    return f"it is not known where users are, so work stays in slot {found.slot} ({shown})"


def _back(
    folder: str, application: str, found: Probation, clock: Clock, make_slot: t.Callable[[Paths, str], Slot]
) -> str:
    paths, clear = Paths(application), f"users are back on {found.previous_release_id}, and work follows"
    refused, live = make_slot(paths, found.slot), make_slot(paths, found.previous_slot)
    if found.back_boottime < 0:
        with journal.step(folder, found.run, "workers", clock, detail=f"by the timer of this host: {clear}"):
            held = live.holds(found.previous_release_id)
            handover.hand_over(refused, live, found.kinds if held else (), found.previous_release_id if held else None)
        found = found._replace(back_boottime=clock.boottime(), boot_id=clock.boot_id())
        _write(folder, found)
    if found.withholds:
        # No connection survives a boot.
        waited = clock.boottime() - found.back_boottime if found.boot_id == clock.boot_id() else float("inf")
        waits = found.drain_seconds + retire.TURN - waited
        used = busy.lasting(paths, found.slot) if waits > 0 else 0
        if used:
            return (
                f"{clear}; {found.release_id} has {used} connections, and is waited for another {waits:.0f} s at most"
            )
        with journal.step(folder, found.run, "withhold", clock, detail="by the timer of this host"):
            refused.withhold(found.release_id, kept=found.kept_release_id)
            retire.carry_over(folder, found.run, found.slot)
    forget(folder)
    stopped = f"; {found.release_id} is stopped, and kept for a look at it in slot {found.slot}"
    return f"{clear}{stopped if found.withholds else ''}"
