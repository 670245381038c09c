# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an application host knows of a release on probation, and what load balancers tell it of users. PRIVATE.

They take traffic back alone, and have no way to application hosts; see follow.py. probation.json says what this host
does when all of them have taken back; a newer run on the host voids it, unless it goes on with the same release.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
import typing as t

from .._foundation import durable
from .._foundation.clock import Clock
from .._foundation.errors import StateUnreadable
from .._slots.definition import KINDS
from .._state import fields
from .._state import state as states
from .._state.run import Run, parsed
from .._traffic import pointer as pointers

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
    write(folder, _parsed({**told, **due, "back_boottime": -1.0, "run": run.to_dict()}))


def write(folder: str, one: Probation) -> None:
    """Keeps what is planned. The caller is alone()."""
    durable.write_json(os.path.join(folder, FILE), {"schema": SCHEMA, **one._asdict(), "run": one.run.to_dict()})


def read(folder: str) -> Probation | None:
    """Returns what is planned. Raises StateUnreadable."""
    return durable.read_parsed(
        os.path.join(folder, FILE),
        _parsed,
        schema=SCHEMA,
        what="What follows a release on probation",
        expected=", ".join(Probation._fields),
    )


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


def carry_over(folder: str, run: Run, slot: str, release_id: str) -> None:
    """What was planned still holds: *run*, a newer one, goes on with that release in *slot*. The caller is alone()."""
    found = read(folder)
    if found is not None and (found.slot, found.release_id) == (slot, release_id):
        write(folder, found._replace(run=run))


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

    try:
        connection = http.client.HTTPConnection(place, timeout=timeout)
        with contextlib.closing(connection):
            connection.request("GET", PATH, headers={"Connection": "close"})
            answer = connection.getresponse()
            body = answer.read(_LONGEST_ANSWER).decode("ascii", "replace")
        return pointers.parse(body, place) if answer.status == 200 else f"status {answer.status}"
    except (OSError, http.client.HTTPException, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    except StateUnreadable:
        return "an answer that is no traffic pointer"


def users_are_in(slot: str, told: Told) -> bool:
    """Whether every load balancer tells that all users are in *slot*. Pure: who tells nothing has not told that."""
    wanted = pointers.Pointer(slot, None, 0)
    return bool(told) and all(one == wanted for one in told.values())
