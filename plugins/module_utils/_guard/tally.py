# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a slot had answered, as HAProxy counts it, when users got it, and when its release was confirmed. PRIVATE.

HAProxy counts on from release to release, and from 0 after a reload. A release is judged by what it answered since the
switch, and compared with what the one before answered since it was confirmed.
"""

from __future__ import annotations

import contextlib
import json
import os
import typing as t

from .._foundation import durable
from .._foundation.errors import RolloutError
from .._state import fields
from .._state.run import Run
from .._traffic.driver import Counted, Driver
from .._traffic.haproxy import COUNTED, Answers

SCHEMA = 1
CONFIRMED, SWITCHED = "tally.json", "switched.json"

Told = dict[str, t.Any]


class Remembered(t.NamedTuple):
    """What a slot had answered, and each of its *instances* by name (None: nobody told), both as JSON has them."""

    tally: Told
    instances: Told | None


def remember(api: Driver, application: str, folder: str, slot: str, release: str) -> None:
    """Keeps what *slot* has answered when *release* is confirmed in it."""
    with contextlib.suppress(RolloutError, OSError):  # worth nothing that a confirmation should fail for
        _write(os.path.join(folder, CONFIRMED), {"slot": slot, "release": release, **_counted(api, application, slot)})


def remember_switch(api: Driver, application: str, folder: str, run: Run) -> None:
    """Keeps what the slot of *run*, and each instance of it, has answered before the run gives it all the users."""
    slot = t.cast(str, run.slot)
    with contextlib.suppress(RolloutError, OSError):
        told = _counted(api, application, slot)  # first: who counts nothing is not asked for each instance
        instances = {one.name: one.counted._asdict() for one in api.servers(application) if one.slot == slot}
        _write(os.path.join(folder, SWITCHED), {"run": [run.id, run.epoch], **told, "instances": instances})


def _counted(api: Driver, application: str, slot: str) -> Told:
    return {"tally": api.tallies(application).get(slot), "process": api.process()}


def _write(path: str, told: Told) -> None:
    durable.write_volatile(path, json.dumps({"schema": SCHEMA, **told}))


def remembered(api: Driver, folder: str, slot: str | None, release: str | None) -> Remembered | None:
    """Returns what *slot* had answered when *release* was confirmed in it; None when nobody knows.

    Raises StateUnreadable.
    """
    return _known(api, os.path.join(folder, CONFIRMED), {"slot": slot, "release": release})


def at_the_switch(api: Driver, folder: str, run: Run) -> Remembered | None:
    """Returns what the slot of *run* had answered before the run switched to it; None when nobody knows.

    Raises StateUnreadable.
    """
    return _known(api, os.path.join(folder, SWITCHED), {"run": [run.id, run.epoch]})


def _known(api: Driver, path: str, whose: Told) -> Remembered | None:
    """A process of HAProxy that began later counts from 0 on."""

    def counted(told: Told) -> Remembered | None:
        if told.get("tally") is None or any(told.get(key) != value for key, value in whose.items()):
            return None
        known, instances = parsed(told["tally"]), told.get("instances")
        parsed_instances(instances)
        process = _process(api)
        same = not process or told.get("process", process) == process  # files of before do not tell it
        if same:
            return Remembered(known, instances)
        return Remembered({**dict.fromkeys(COUNTED, 0), **{name: {} for name in Answers._fields}}, {})

    return durable.read_parsed(
        path,
        counted,
        schema=SCHEMA,
        what="What a slot had answered",
        expected=", ".join([*COUNTED, *Answers._fields]),
    )


def _process(api: Driver) -> str:
    try:
        return api.process()
    except RolloutError:
        return ""  # whoever reads its counters will say so


def parsed(content: t.Any) -> Told:
    """Returns a tally out of JSON, which has texts for keys. Raises ValueError with a sentence."""
    told = fields.mapping(content, "the tally")
    keyed = {
        name: {_number(key): fields.whole(counts, key) for key in counts}
        for name in Answers._fields
        for counts in [fields.mapping(told.get(name), name)]
    }
    return {**{name: fields.whole(told, name) for name in COUNTED}, **keyed}


def parsed_instances(content: t.Any) -> dict[str, Counted] | None:
    """Returns what instances were counted for, by name, out of JSON; None where nobody told. Raises ValueError."""
    if content is None:
        return None
    each = {name: fields.mapping(told, name) for name, told in fields.mapping(content, "instances").items()}
    return {name: Counted(*(fields.whole(told, key) for key in Counted._fields)) for name, told in each.items()}


def _number(key: t.Any) -> int:
    """JSON has made a text of it."""
    if not str(key).isdecimal():
        raise ValueError(f"{fields.shown(key)} is not a whole number")
    return int(key)
