# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a load-balancer host knows about an application, in one look; and what an unfinished run left. PRIVATE."""

from __future__ import annotations

import typing as t

from .._foundation.errors import NotFound, RolloutError
from .._state import intent as intents
from .._state import journal, machine, recovery
from .._state import lease as leases
from .._state import state as states
from .._state.recovery import Action, Seen
from .._traffic import pointer as pointers
from .._traffic.driver import NotRunning
from .guard import Guard
from .place import ACTOR


class Finding(t.NamedTuple):
    """What an unfinished run left here: its last *entry*, what is *seen*, the *action* for it, and that in words.

    *unsettled*: what happened last, when it did not end well; workers may be where no traffic is.
    """

    entry: journal.Entry | None
    seen: Seen
    action: Action
    says: str
    unsettled: journal.Entry | None = None


def find(guard: Guard, *, repaired: bool = False) -> Finding:
    """Looks at journal, pointer, intent and state. Raises ImpossibleState for what cannot have happened.

    *repaired*: what will be found once the load balancer follows the map file.
    """
    entries = journal.read(guard.folder)
    entry, standing = recovery.unfinished(entries), machine.standing(entries)
    intent = intents.read(guard.folder)
    state = states.load(guard.application, guard.root)
    in_file = pointers.read_file(guard.application, guard.map_path)
    try:
        in_use = in_file if repaired else guard.api.pointer(guard.application, guard.map_path)
    except (NotRunning, NotFound):
        in_use = in_file  # it reads the file when it starts, and sends nobody anywhere until then
    seen = recovery.look(
        entry,
        state=state,
        intent=intent,
        file=in_file.target if in_file else None,
        haproxy=in_use.target if in_use else None,
    )
    action = recovery.decide(seen)
    by_guard = standing is not None and standing.actor == ACTOR
    if action is Action.NOTHING:
        says = f"The guard has acted: {standing.detail}." if standing is not None and by_guard else ""
    else:
        says = recovery.says(seen, action, entry, intent)
    return Finding(entry, seen, action, says, None if standing is None or _settled(standing) else standing)


def _settled(standing: journal.Entry) -> bool:
    """Whether the run of the entry *standing* ended as it was meant to: confirmed, or without anything to move."""
    done = standing.phase == "end" and standing.outcome == "done" and standing.actor != ACTOR
    return done and (standing.step == "confirm" or (standing.step == "end" and standing.detail is None))


def look(guard: Guard, *, environment: str | None = None) -> dict[str, t.Any]:
    """Returns the view with what find() says; what it cannot understand is a ``problem`` beside all that it can."""
    try:
        return view(guard, find(guard), environment=environment)
    except RolloutError as error:
        told = view(guard, environment=environment)
        known = told["problem"]
        return {**told, "problem": known if str(error) in known else f"{known}\n{error}".strip()}


def view(
    guard: Guard, finding: Finding | None = None, *, environment: str | None = None, servers_too: bool = True
) -> dict[str, t.Any]:
    """Returns the look as plain values; what cannot be read is told in ``problem`` and does not hide the rest.

    *environment* is told of a host that has no state yet.
    """
    problems: list[str] = []
    state = _read(problems, guard.state)
    intent = _read(problems, guard.intent)
    lease = _read(problems, lambda: leases.read(guard.folder))
    in_file = _read(problems, lambda: pointers.read_file(guard.application, guard.map_path))
    in_use = _read(problems, lambda: guard.api.pointer(guard.application, guard.map_path))
    # What cannot be understood as a whole still has a last step.
    entry = finding.entry if finding else _read(problems, lambda: recovery.unfinished(journal.read(guard.folder)))
    found = _read(problems, lambda: guard.api.servers(guard.application)) if servers_too and not problems else None
    return {
        "application": guard.application,
        "load_balancer": guard.api.name,
        "environment": state.environment if state else environment,
        "state": state.to_dict() if state else None,
        "pointer": {"file": _text(in_file), "haproxy": _text(in_use)},
        "intent": _shown(intent, guard) if intent else None,
        "lease": _lease(lease, guard) if lease else None,
        "unfinished": entry._asdict() if entry else None,
        "action": finding.action.value if finding else None,
        "unsettled": finding.unsettled._asdict() if finding and finding.unsettled else None,
        "says": finding.says if finding else "",
        "watch": _watch(guard, problems),
        "servers": [{**one._asdict(), "up": one.up} for one in found or []],
        "problem": "\n".join(problems),
    }


Part = t.TypeVar("Part")


def _read(problems: list[str], read: t.Callable[[], Part]) -> Part | None:
    """Returns what *read* gives, or None and its problem."""
    try:
        return read()
    except RolloutError as error:
        problems.append(str(error))
        return None


def _watch(guard: Guard, problems: list[str]) -> dict[str, t.Any] | None:
    """Returns what is watched here at this moment: its phase, and what was seen; None when nothing is."""
    from . import watch_files  # noqa: PLC0415 - loaded when needed: users wait for a switch

    asked = _read(problems, lambda: watch_files.read_asked(guard.folder))
    seen = _read(problems, lambda: watch_files.read_seen(guard.folder)) if asked else None
    if asked is None or seen is None or seen["id"] != asked["id"]:
        return None
    if not watch_files.alive(seen, guard.clock.boottime()):
        return None
    told = {"phase": seen["phase"], "alone": bool(asked["alone"]), "early": bool(asked.get("early"))}
    return {**told, "progress": seen["progress"], "says": seen["says"]}


def _text(pointer: pointers.Pointer | None) -> str | None:
    return pointer.text() if pointer else None


def _lease(lease: leases.Lease, guard: Guard) -> dict[str, t.Any]:
    left, over = leases.remaining(lease, guard.clock), leases.over(lease, guard.clock)
    return {**lease._asdict(), "remaining": round(left, 1), "over": round(over, 1)}


def _shown(intent: intents.Intent, guard: Guard) -> dict[str, t.Any]:
    told = {**intent._asdict(), "run": intent.run.to_dict()}
    told.pop("token")
    left = round(max(0.0, intents.due(intent, guard.clock)), 1)
    return {**told, "left": left, "timer": bool(_read([], lambda: guard.timer.active(intent.token)))}
