# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be watched on this host (watch.json), and what was seen so far (watched.json). PRIVATE.

The first is durable and goes when nothing is left to watch. The second is for whoever looks: after a crash it is wrong.
"""

from __future__ import annotations

import contextlib
import json
import os
import typing as t

from .._foundation import durable
from .._foundation.clock import Clock
from .._foundation.errors import StateUnreadable
from .._gates.decision import Times
from .._gates.traffic import Slots, Tally
from .._gates.watch import Progress
from .._state.run import Run
from . import tally, watch_shapes
from .place import WATCH_FILE
from .samplers import Place

SCHEMA = 1
ASKED, SEEN = WATCH_FILE, "watched.json"

STALE = 15.0  # s without a word after which a watch is called dead

Told = dict[str, t.Any]


def write_asked(folder: str, asked: t.Mapping[str, t.Any]) -> None:
    """Asks for a watch, durably.

    Keys: id, run, environment, phase, gates, seconds, most, public_url, shared, watches, without_users, before,
    since, instances, connections, masked, alone, early; approved once a person did.
    """
    durable.write_json(os.path.join(folder, ASKED), {"schema": SCHEMA, **asked})


def read_asked(folder: str) -> Told | None:
    """Returns what is to be watched, or None. Raises StateUnreadable."""
    return _read(folder, ASKED, "What is to be watched", watch_shapes.check_asked, watch_shapes.ASKED)


def _read(folder: str, name: str, what: str, check: t.Callable[[Told], None], expected: str) -> Told | None:
    def checked(content: Told) -> Told:
        check(content)
        return content

    return durable.read_parsed(os.path.join(folder, name), checked, schema=SCHEMA, what=what, expected=expected)


def looked(folder: str, clock: Clock, *, seconds_ago: float = 0.0) -> None:
    """The run that attends has looked then. That moment is a boottime, as the wall clock may jump."""
    moment = clock.boottime() - seconds_ago
    with contextlib.suppress(OSError):
        os.utime(os.path.join(folder, ASKED), (moment, moment))


def silence(folder: str, clock: Clock) -> float:
    """Returns for how many s the run that attends has not looked."""
    try:
        return clock.boottime() - os.stat(os.path.join(folder, ASKED)).st_mtime
    except OSError:
        return 0.0


def remove_asked(folder: str) -> None:
    """Asks for nothing any more."""
    durable.remove(os.path.join(folder, ASKED))


def forget(folder: str, run: Run) -> None:
    """Asks for nothing any more that *run* has asked for; whoever calls this is alone.

    What nobody can read is left to whoever needs it, and says so.
    """
    asked = None
    with contextlib.suppress(StateUnreadable):
        asked = read_asked(folder)
    if asked is not None and asked["run"]["id"] == run.id:
        remove_asked(folder)


def alive(seen: Told, now: float) -> bool:
    """Whether the watch that has written *seen* still runs, at the boottime *now*."""
    return not seen["ended"] and 0 <= now - seen["boottime"] < STALE


def place(application: str, asked: t.Mapping[str, t.Any]) -> Place:
    """Returns what is watched, as samplers want it."""
    slots = Slots(asked["run"]["slot"], asked["run"]["previous"], bool(asked["shared"]))
    before, since = (Tally(**tally.parsed(told)) if told else None for told in map(asked.get, ("before", "since")))
    watches, instances = int(asked["watches"]), tally.parsed_instances(asked.get("instances"))
    return Place(application, slots, asked["public_url"], asked["connections"], watches, before, since, instances)


def times(asked: t.Mapping[str, t.Any]) -> Times:
    """Returns how long its phase is watched."""
    seconds = float(asked["seconds"])
    return Times(seconds, max(seconds, float(asked["most"])))


def told(
    asked: t.Mapping[str, t.Any], clock: Clock, ended: str | None = None, says: str = "", approved: str = ""
) -> Told:
    """Returns what is told of the watch *asked* beside its progress. *ended*: go, revert, stopped, or None: not yet.

    *approved*: by whom, when a person did.
    """
    return {
        "id": asked["id"],
        "run": [asked["run"]["id"], asked["run"]["epoch"]],
        "phase": asked["phase"],
        "boottime": clock.boottime(),
        "ended": ended,
        "says": says,
        "approved": approved,
    }


def write_seen(folder: str, words: t.Mapping[str, t.Any], progress: Progress | None) -> None:
    """Tells whoever looks: *words* (see told) and the progress."""
    told_now = {"schema": SCHEMA, **words, "progress": progress._asdict() if progress else None}
    with contextlib.suppress(OSError):  # a full disk must not end a watch
        durable.write_volatile(os.path.join(folder, SEEN), json.dumps(told_now))


def read_seen(folder: str) -> Told | None:
    """Returns what was seen last, or None. Raises StateUnreadable."""
    return _read(folder, SEEN, "What a watch has seen", watch_shapes.check_seen, watch_shapes.SEEN)
