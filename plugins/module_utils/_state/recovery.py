# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What to do with what an earlier run left behind: one action for every thing that a host can show.

PRIVATE to the collection. Pure. TABLE has every state that a crash, a guard, a boot or a half-done write can leave;
what is not in it cannot happen, and is never guessed at.
"""

from __future__ import annotations

import enum
import typing as t

from .._foundation.errors import RolloutError
from .journal import Entry
from .machine import ASIDE
from .state import State

if t.TYPE_CHECKING:
    from .intent import Intent

TRAFFIC = ("previous", "target", "split", "elsewhere")
INTENTS = ("none", "armed", "inconsistent")


class ImpossibleState(RolloutError):
    """The journal, the traffic pointer, the guard and the state contradict each other; nothing was changed."""


class Seen(t.NamedTuple):
    """What a host shows about a run that did not end.

    *step* and *phase* are of the entry that `unfinished` finds (both None: there is none); an end that failed counts
    as begin, because how far it came is unknown. *traffic* is relative to that run, or to the run of the intent where
    there is one: previous (at a first rollout: no live slot), target, split (map file and HAProxy differ), elsewhere.
    *intent* is none, armed or inconsistent. *confirmed*: state.json names the target live, with that release.
    """

    step: str | None
    phase: str | None
    traffic: str
    intent: str
    confirmed: bool


class Action(enum.Enum):
    """What is done. Each one may be cut off anywhere and is then decided again.

    A REVERT that finds the previous slot dead leaves the intent inconsistent; it is not tried again at once.
    """

    NOTHING = "nothing"  # clean
    ABANDON = "abandon"  # it served nobody, or serves nobody any more: close the run
    DISARM = "disarm"  # traffic is where it was: drop the intent, close the run
    REVERT = "revert"  # file and HAProxy back to previous if that answers, drop the intent, close the run
    FINISH = "finish"  # confirmed: drop the intent, close the run
    COMPLETE = "complete"  # taken back already: drop the intent, write the missing end
    REPAIR = "repair"  # make HAProxy follow the map file, then look and decide again


_NOTHING, _ABANDON, _DISARM = Action.NOTHING, Action.ABANDON, Action.DISARM
_REVERT, _FINISH, _COMPLETE, _REPAIR = Action.REVERT, Action.FINISH, Action.COMPLETE, Action.REPAIR

_COLUMNS = (
    ("previous", False),
    ("previous", True),
    ("target", False),
    ("target", True),
    ("split", False),
    ("split", True),
    ("elsewhere", False),
    ("elsewhere", True),
)
_IDLE = ((None, None),)
# A host that follows the others (adopt) moves to what is confirmed; cut off, it follows again in the next run.
_BEGUN = (("begin", "begin"), ("begin", "end"), ("adopt", "begin"), ("adopt", "end"))
_ARMING = (("arm", "begin"),)
_ARMED = (("arm", "end"),)
# A share of the traffic counts as all of it: a release that is not confirmed loses it.
_MOVING = (("shift", "begin"), ("switch", "begin"))
_MOVED = (("shift", "end"), ("switch", "end"), ("confirm", "begin"))
_BACK = (("revert", "begin"),)

_Cells = tuple[t.Optional[Action], ...]

# An armed intent is a promise, whatever the journal says: an unconfirmed target loses the traffic. A roll back to
# what state.json names live anyway is confirmed from its first step on, so "confirmed" goes with every step.
# A split of an unconfirmed run is not repaired first: that could send users to the target once more, or to a dead slot.
_PROMISED: _Cells = (_DISARM, _DISARM, _REVERT, _FINISH, _REVERT, _REPAIR, None, None)
# Only a revert leaves the target, and a journal that a full disk cut short may not tell of it.
_PROMISED_AND_MOVED: _Cells = (_COMPLETE, None, _REVERT, _FINISH, _REVERT, _REPAIR, None, None)
_GOING_BACK: _Cells = (_COMPLETE, _COMPLETE, _REVERT, _FINISH, _REVERT, _REPAIR, None, None)

_NO_INTENT = ("none",)
_INTENT = ("armed", "inconsistent")

# (steps, intents) -> an action per column; None cannot happen.
_ROWS: tuple[tuple[tuple[tuple[str | None, str | None], ...], tuple[str, ...], _Cells], ...] = (
    # Where traffic is without a run is the planner's matter, which compares it with the state.
    (_IDLE, _NO_INTENT, (_NOTHING, _NOTHING, _NOTHING, _NOTHING, _REPAIR, _REPAIR, _NOTHING, _NOTHING)),
    (_BEGUN, _NO_INTENT, (_ABANDON, _ABANDON, _ABANDON, _ABANDON, _REPAIR, _REPAIR, _ABANDON, _ABANDON)),
    # A run that goes on where another was cut off arms while users are on the target; what cannot arm leaves no intent.
    (_ARMING, _NO_INTENT, (_ABANDON, _ABANDON, _REVERT, _FINISH, _REPAIR, _REPAIR, None, None)),
    (_ARMED, _NO_INTENT, (_ABANDON, _ABANDON, None, _FINISH, _REPAIR, _REPAIR, None, None)),
    # A plan may have allowed a rollout without guard.
    (_MOVING, _NO_INTENT, (_ABANDON, _ABANDON, _REVERT, _FINISH, _REVERT, _REPAIR, None, None)),
    (_MOVED, _NO_INTENT, _PROMISED_AND_MOVED),
    (_BACK, _NO_INTENT, _GOING_BACK),
    # Inconsistent is armed all the same: what could not go back may do so by now.
    (_IDLE + _BEGUN + _ARMING + _ARMED + _MOVING, _INTENT, _PROMISED),
    (_MOVED, _INTENT, _PROMISED_AND_MOVED),
    (_BACK, _INTENT, _GOING_BACK),
)

TABLE: t.Mapping[Seen, Action] = {
    Seen(step, phase, traffic, intent, confirmed): action
    for steps, intents, cells in _ROWS
    for step, phase in steps
    for intent in intents
    for (traffic, confirmed), action in zip(_COLUMNS, cells)
    if action is not None
}


def decide(seen: Seen) -> Action:
    """Returns what to do about *seen*. Raises ImpossibleState when no crash can have left it."""
    action = TABLE.get(seen)
    if action is None:
        raise ImpossibleState(
            "The journal, the traffic pointer, the guard and the state of this host contradict each other.",
            expected="what a run leaves behind that was cut off at any step",
            found=f"last step {seen.step or 'none'} ({seen.phase or 'no entry'}), traffic {seen.traffic}, "
            f"guard {seen.intent}, release {'' if seen.confirmed else 'not '}confirmed",
            where="journal.ndjson, traffic.map, intent.json and state.json on the load-balancer host",
            next_step="see what users get: rollout-guard status on that host; then move journal.ndjson and intent.json "
            "away and run again: a run begins from the traffic and the state then, whatever they are",
        )
    return action


def resumable(seen: Seen) -> bool:
    """Whether a new run may go on with the release that *seen* left: users have it, and its guard still watches.

    The caller makes sure that the guard is not due (`intent.due`) and that the release is the same.
    """
    watched = seen.traffic == "target" and seen.intent == "armed" and not seen.confirmed
    return watched and seen.step in ("begin", "arm", "switch", "confirm") and seen in TABLE


def look(
    entry: Entry | None, *, state: State | None, intent: Intent | None, file: str | None, haproxy: str | None
) -> Seen:
    """Returns what a host shows, in the words of the table.

    *entry* is what `unfinished` found; *file* and *haproxy* are the slots (or None) that traffic moves to, by the map
    file and by HAProxy. A HAProxy that does not run follows the file at its next start: give the file's slot for it.
    """
    target, previous, release = _reference(entry, state, intent)
    record = state.slots[target] if state is not None and target is not None else None
    confirmed = (
        state is not None
        and target is not None
        and state.live == target
        and record is not None
        and record.release["id"] == release
    )
    failed = entry is not None and entry.outcome == "failed"
    return Seen(
        step=entry.step if entry else None,
        phase="begin" if failed else entry.phase if entry else None,
        traffic=_traffic(target, previous, file, haproxy, confirmed),
        intent="none" if intent is None else intent.status,
        confirmed=confirmed,
    )


def _reference(
    entry: Entry | None, state: State | None, intent: Intent | None
) -> tuple[str | None, str | None, str | None]:
    """Returns target, previous and release id of the run whose traffic is asked for; without one, of the state."""
    if intent is not None:
        return intent.target, intent.previous, intent.run.release
    if entry is not None and entry.slot is not None:
        return entry.slot, entry.previous, entry.release
    live = state.live_record if state is not None else None
    slot = state.live if state is not None else None
    return slot, slot, live.release["id"] if live is not None else None


def _traffic(target: str | None, previous: str | None, file: str | None, haproxy: str | None, confirmed: bool) -> str:
    if file != haproxy:
        return "split"
    if target == previous == file:
        return "target" if confirmed else "previous"  # nothing had to move
    if file == target:
        return "target"
    return "previous" if file == previous else "elsewhere"


class _Course:
    """How far one run came: *current* says where its traffic stands; *opened*: that is not final yet; *ruled*: it
    cleaned up what was before it."""

    def __init__(self, current: Entry) -> None:
        self.current = current
        self.opened = True
        self.ruled = False

    def follow(self, entry: Entry) -> None:
        done = entry.phase == "end" and entry.outcome == "done"
        self.ruled = (
            self.ruled or entry.step in ("arm", "shift", "switch", "confirm") or (entry.step == "begin" and done)
        )
        if entry.step == "end":
            self.opened = self.opened and entry.phase == "begin"
        elif entry.phase == "begin":
            self.current = entry
            self.opened = True
        elif entry.step == self.current.step:
            self.current = entry
            self.opened = not (done and entry.step in ("confirm", "revert"))
        # Else it is the end of a step that another one overtook: a confirm that failed as the guard was faster.


def unfinished(entries: t.Iterable[Entry], *, apart_from: str | None = None) -> Entry | None:
    """Returns where the newest run stands that has no final end (confirm or revert done, or end); None: all ended.

    That is its last entry about traffic: what only looks on (drain, record, steps on application hosts), or an end that
    was begun, does not change what must be done. A run answers for those before it only once its begin ended well,
    because recovery is a part of begin: when it was cut off in there, the run before it is still the one to look at.
    A begin that asks after it wrote its own first line asks *apart_from* its own id, or it would find itself.
    """
    courses: dict[str, _Course] = {}
    for entry in entries:
        if entry.step in ASIDE or entry.run == apart_from:
            continue
        if entry.run not in courses:
            if entry.step == "end":
                continue
            courses[entry.run] = _Course(entry)
        courses[entry.run].follow(entry)
    found = None
    for course in reversed(list(courses.values())):
        if course.opened and (course.ruled or found is None):
            found = course.current
        if course.ruled:
            break
    return found


def says(seen: Seen, action: Action, entry: Entry | None, intent: Intent | None = None) -> str:
    """Returns one line for people: what was found (who, when, which step), and what is done about it now.

    Give the *intent* that `look` got: its slots are named then, as its run may be an earlier one than that of *entry*.
    """
    if action is Action.NOTHING:
        return "Nothing was left unfinished."
    target, previous, _release = _reference(entry, None, intent)
    return (
        f"{_found(seen, entry, intent)}; traffic {_traffic_says(seen, target, previous)}, "
        f"guard {_GUARD[seen.intent]}. {_now(seen, action, previous)}"
    )


_GUARD = {"none": "off", "armed": "armed", "inconsistent": "inconsistent"}


def _found(seen: Seen, entry: Entry | None, intent: Intent | None) -> str:
    if entry is not None:
        release = f" of {entry.release}" if entry.release else ""
        how = "in" if seen.phase == "begin" else "after"
        return (
            f"Found {entry.operation} {entry.run}{release} by {entry.actor} ({entry.source}), cut off {how} "
            f"step {entry.step} at {entry.at}"
        )
    if intent is not None:
        run = intent.run
        return f"Found the guard of {run.operation} {run.id} by {run.actor} ({run.source}), armed at {intent.armed}"
    return "Found no unfinished run"


def _traffic_says(seen: Seen, target: str | None, previous: str | None) -> str:
    if seen.traffic == "split":
        return "differs between map file and load balancer"
    if target is None and previous is None:
        return "not moved by it"
    if seen.traffic == "elsewhere":
        return "in neither of its slots"
    slot = target if seen.traffic == "target" else previous
    return f"in slot {slot}" if slot else "in no slot"


def _now(seen: Seen, action: Action, previous: str | None) -> str:
    if action is Action.REVERT:
        where = f"slot {previous}" if previous else "no slot, as before the first rollout,"
        doubt = " if it answers again" if seen.intent == "inconsistent" else ""
        return f"Now: traffic goes back to {where}{doubt}."
    return _NOW[action]


_NOW = {
    Action.ABANDON: "Now: it is closed, as no traffic is left to move.",
    Action.DISARM: "Now: its guard is disarmed, traffic stays.",
    Action.FINISH: "Now: its release stays, as it was confirmed; what is left over is cleared away.",
    Action.COMPLETE: "Now: it is closed, as traffic was taken back already.",
    Action.REPAIR: "Now: the load balancer follows the map file.",
}
