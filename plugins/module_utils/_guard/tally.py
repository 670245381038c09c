# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the slots have answered, as HAProxy counts it, and what a slot had answered when its release was confirmed.

PRIVATE to the collection. HAProxy counts on from release to release; a later one is compared with this release alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import typing as t

from .._foundation import durable
from .._foundation.errors import RolloutError
from .._state import fields
from .._traffic.driver import Driver
from .._traffic.haproxy import COUNTED, Answers

SCHEMA = 1
FILE = "tally.json"

Told = dict[str, t.Any]


def remember(api: Driver, application: str, folder: str, slot: str, release: str) -> None:
    """Keeps what *slot* has answered by now. Worth nothing that a confirmation should fail for."""
    with contextlib.suppress(RolloutError, OSError):
        told = {"schema": SCHEMA, "slot": slot, "release": release, "tally": api.tallies(application).get(slot)}
        durable.write_volatile(os.path.join(folder, FILE), json.dumps(told))


def remembered(folder: str, slot: str | None, release: str | None) -> Told | None:
    """Returns what *slot* had answered when *release* was confirmed in it; None when nobody knows.

    Raises StateUnreadable.
    """

    def of_this_release(told: Told) -> Told | None:
        if told.get("tally") is None or (told.get("slot"), told.get("release")) != (slot, release):
            return None
        return parsed(told["tally"])

    return durable.read_parsed(
        os.path.join(folder, FILE),
        of_this_release,
        schema=SCHEMA,
        what="What a slot had answered",
        expected=", ".join([*COUNTED, *Answers._fields]),
    )


def parsed(content: t.Any) -> Told:
    """Returns a tally out of JSON, which has texts for keys. Raises ValueError with a sentence."""
    told = fields.mapping(content, "the tally")
    keyed = {
        name: {_number(key): fields.whole(counts, key) for key in counts}
        for name in Answers._fields
        for counts in [fields.mapping(told.get(name), name)]
    }
    return {**{name: fields.whole(told, name) for name in COUNTED}, **keyed}


def _number(key: t.Any) -> int:
    """JSON has made a text of it."""
    if not str(key).isdecimal():
        raise ValueError(f"{fields.shown(key)} is not a whole number")
    return int(key)
