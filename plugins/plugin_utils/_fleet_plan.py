# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One plan for all load balancers, whatever each of them knows. Pure. PRIVATE to the collection."""

from __future__ import annotations

import typing as t

from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import BadInput
from ansible_collections.vitalops.rollout.plugins.module_utils._state import fleet
from ansible_collections.vitalops.rollout.plugins.module_utils._state import plan as plans
from ansible_collections.vitalops.rollout.plugins.module_utils._state.state import State
from ansible_collections.vitalops.rollout.plugins.module_utils._traffic import pointer as pointers

Begun = t.Mapping[str, t.Mapping[str, t.Any]]
View = t.Mapping[str, t.Any]
Traffic = t.Mapping[str, pointers.Pointer]


def plan(
    begun: Begun, operation: str, application: str, environment: str, release: dict[str, str] | None
) -> dict[str, t.Any]:
    """Returns plan, run, behind, state, resume, recovered, work and says; *begun* is the result of step begin by host.

    *recovered*: before anything else, work must go where *work* says (slot, and release where it is known).

    Raises BadInput when there is nothing to roll back to, when the hosts do not belong together, and when an earlier
    run cannot be taken up by this one.
    """
    views = {host: told["view"] for host, told in begun.items()}
    agreed = fleet.agree(views)
    state = agreed.state or State(application, environment)
    resumed = _resumed(views, release, state.live)
    traffic = {host: _pointer(host, view) for host, view in views.items()}
    live = _live(traffic, state)
    if operation == "deploy":
        if release is None:
            raise BadInput("A deploy needs a release.")
        planned = plans.resume(state, resumed, release) if resumed else plans.deploy(state, live, release)
    else:
        left = _left(views, state) or _unrecorded(traffic, views, state) or live
        back = operation == "roll_back"
        planned = (
            plans.roll_back(state, left, undone=undone(views.values(), state)) if back else plans.retire(state, live)
        )
    first = next(iter(begun.values())).get("run") or {}
    # A roll back sends nobody first to what all shall leave: whatever a host did before, it goes to the same slot. One
    # that only some hosts have confirmed moves nothing any more, and the others follow. Nobody follows to where no
    # users are: then the way is forward.
    together = operation == "roll_back" and not planned.converge
    astray = {} if resumed else _astray(traffic, live, state, agreed.behind)
    behind = {**astray, **agreed.lags} if resumed or (live == state.live and not together) else {}
    return {
        "plan": planned.to_dict(),
        "run": {
            **first,
            "epoch": agreed.epoch,
            "operation": operation,
            "release": planned.release["id"],
            "slot": planned.slot,
            "previous": planned.previous_slot if planned.moves else None,
        },
        "behind": list(behind),
        "state": state.to_dict(),
        "resume": bool(resumed),
        "recovered": _recovered(views, state) and not resumed and not (operation == "roll_back" and _kept(state, live)),
        "work": _work(state, live),
        "says": [
            *(f"{host}: {view['says']}" for host, view in views.items() if view["says"]),
            *agreed.says,
            *(f"{host} {lag}: it goes to slot {state.live} first." for host, lag in behind.items()),
            *(f"{host} {lag}: it goes to slot {planned.slot}, too." for host, lag in astray.items() if together),
        ],
    }


def _recovered(views: t.Mapping[str, View], state: State) -> bool:
    """Whether the run before this one did not end well: its workers may be where no traffic is."""
    back = any(view["action"] not in (None, "nothing") or view.get("unsettled") for view in views.values())
    return back and state.live is not None


def _kept(state: State, live: str | None) -> bool:
    """Whether the only slot that answers keeps traffic that nobody confirmed. A roll back leaves it at once."""
    return live not in (None, state.live)


def _work(state: State, live: str | None) -> dict[str, str | None]:
    """Where workers and the scheduler belong while this run prepares its own move: where users are."""
    record = state.live_record
    if _kept(state, live) or record is None:
        return {"slot": live or state.live, "release": None}
    return {"slot": state.live, "release": record.release["id"]}


def _pointer(host: str, view: View) -> pointers.Pointer:
    """The traffic pointer of *host*, once it has dealt with what an earlier run left."""
    return pointers.parse(view["pointer"]["file"] or "none:none:0", f"the traffic map of {host}")


def _live(traffic: Traffic, state: State) -> str | None:
    """The slot that has the traffic: the live one if any host sends users there, else what users were left in."""
    used = set[str]().union(*(one.slots for one in traffic.values()))
    return state.live if state.live in used else min(used, default=None)


def _astray(traffic: Traffic, live: str | None, state: State, known: t.Collection[str]) -> dict[str, str]:
    """The hosts, apart from *known*, that do not send users to the live slot, where others do; and how that shows."""
    there = pointers.Pointer(state.live, None, 0)
    if live != state.live:
        return {}
    found = {host: one for host, one in traffic.items() if host not in known and one != there}
    return {host: f"has the traffic pointer {one.text()}" for host, one in found.items()}


def _unrecorded(traffic: Traffic, views: t.Mapping[str, View], state: State) -> str | None:
    """The slot that has users of any host although no confirmation says so: a roll back leaves that one, everywhere."""
    for host, one in traffic.items():
        for slot in one.slots - {state.live, (views[host]["state"] or {}).get("live")}:
            return slot
    return None


def _left(views: t.Mapping[str, View], state: State) -> str | None:
    """The slot of a deploy that was cut off and has just been taken back: a roll back is meant for that one."""
    cut = [view["unfinished"] for view in views.values() if view["action"] == "revert" and view["unfinished"]]
    slots = {entry["slot"] for entry in cut if entry["operation"] == "deploy"} - {state.live, None}
    return slots.pop() if len(slots) == 1 else None


def undone(views: t.Iterable[View], state: State) -> bool:
    """Whether the newest run was a deploy of another release that died, and whose switch is taken back or never was.

    One that came to its end has told its operator what users have.
    """
    last = max((view["unsettled"] for view in views if view.get("unsettled")), key=_epoch, default=None)
    if last is None or state.live_record is None or _epoch(last) <= state.confirmed_epoch:
        return False
    other = last["release"] not in (None, state.live_record.release["id"])
    return last["operation"] == "deploy" and last["step"] != "end" and other


def _epoch(entry: View) -> int:
    return int(entry["epoch"])


def _resumed(views: t.Mapping[str, View], release: dict[str, str] | None, live: str | None) -> str | None:
    """The slot that an earlier run switched to with the same release, when this run goes on with it."""
    taken_up = {host: view["intent"] for host, view in views.items() if view.get("resume") and view["intent"]}
    slots = {intent["target"] for intent in taken_up.values()} - {live}
    others = sorted({str(intent["run"]["release"]) for intent in taken_up.values()} - {(release or {}).get("id")})
    if len(slots) > 1 or (slots and others):
        raise BadInput(
            "What an earlier run left cannot be taken up by this one; its guard takes it back.",
            expected=f"release {(release or {}).get('id')} in one slot",
            found=f"release {', '.join(others)} in slot {', '.join(sorted(slots))} of {', '.join(taken_up)}",
            next_step="run again with -e rollout_recovery=revert",
        )
    return slots.pop() if slots else None
