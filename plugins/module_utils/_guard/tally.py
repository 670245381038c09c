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
from .._traffic.driver import Driver
from .._traffic.haproxy import Answers

FILE = "tally.json"

Told = dict[str, t.Any]


def remember(api: Driver, application: str, folder: str, slot: str, release: str) -> None:
    """Keeps what *slot* has answered by now. Worth nothing that a confirmation should fail for."""
    with contextlib.suppress(RolloutError, OSError):
        told = {"slot": slot, "release": release, "tally": api.tallies(application).get(slot)}
        durable.write_volatile(os.path.join(folder, FILE), json.dumps(told))


def remembered(folder: str, slot: str | None, release: str | None) -> Told | None:
    """Returns what *slot* had answered when *release* was confirmed in it; None when nobody knows."""
    try:
        with open(os.path.join(folder, FILE), encoding="utf-8") as handle:
            told = json.load(handle)
    except (OSError, ValueError):
        return None
    if (
        not isinstance(told, dict)
        or not told.get("tally")
        or (told.get("slot"), told.get("release")) != (slot, release)
    ):
        return None
    return with_numbers(told["tally"])


def with_numbers(told: Told) -> Told:
    """Returns a tally out of JSON, which has texts for keys."""
    keyed = {name: {int(key): count for key, count in told.get(name, {}).items()} for name in Answers._fields}
    return {**told, **keyed}
