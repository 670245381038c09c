# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rollout will do, decided before anything is done. Pure: state in, plan out. PRIVATE to the collection."""

from __future__ import annotations

import dataclasses
import typing as t

from .._foundation.errors import BadInput, playbook
from .state import State, other_slot


@dataclasses.dataclass(frozen=True)
class Plan:
    """*slot* gets (or keeps) *release*; *previous_slot* had the traffic before (None at a first rollout).

    *converge* is True when the release is live already, so that the run only repairs what drifted; *moves* when
    traffic leaves *previous_slot* for *slot*.
    *kept_release_id* is the confirmed release that *slot* held before, which a roll back goes to, or None.
    *steps* are sentences for people, in order.
    """

    operation: str
    slot: str
    release: dict[str, str]
    previous_slot: str | None
    previous_release: dict[str, str] | None
    converge: bool
    kept_release_id: str | None
    steps: tuple[str, ...]

    def to_dict(self) -> dict[str, t.Any]:
        """Returns the plan as plain values."""
        told = {"moves": self.moves, "other_slot": other_slot(self.slot), "steps": list(self.steps)}
        return {**dataclasses.asdict(self), **told}

    @property
    def moves(self) -> bool:
        """Whether traffic leaves another slot."""
        return self.previous_slot is not None and self.previous_slot != self.slot


def _check_pointer(state: State, pointer_live: str | None) -> None:
    if state.live != pointer_live:
        raise BadInput(
            f"The traffic pointer of {state.application} and its recorded state disagree: an earlier run was cut off.",
            expected=f"slot {state.live or 'none'} live, as state.json says",
            found=f"slot {pointer_live or 'none'} live in the traffic pointer",
            where=f"/var/lib/rollout/{state.application}/ on the load-balancer host",
            next_step=f"take it back: {playbook('roll_back')} (traffic returns to slot {state.live or 'none'})",
        )


def deploy(state: State, pointer_live: str | None, release: dict[str, str]) -> Plan:
    """Returns the plan that makes *release* live. *pointer_live* is the slot that gets the traffic now, or None.

    Raises BadInput when the traffic pointer contradicts the state.
    """
    live = state.live_record
    if live is None:
        return _first_deploy(state, pointer_live, release)
    if pointer_live is not None and pointer_live != state.live:
        return _forward(state, pointer_live, release)
    _check_pointer(state, pointer_live)
    if live.release["id"] == release["id"]:
        return _converge("deploy", state, live.release)
    idle = state.idle
    replaced = state.slots[idle]
    leaves = f" (replaces {replaced.release['id']})" if replaced else ""
    steps = (
        f"Stage release {release['id']} in slot {idle}{leaves}; users stay on {live.release['id']} in {state.live}.",
        *_gate_and_switch(idle),
        f"Watch slot {state.live} drain; move workers and scheduler to slot {idle}.",
        f"Keep {live.release['id']} warm in slot {state.live} for roll_back.",
    )
    return Plan("deploy", idle, release, state.live, live.release, False, _kept(state, idle), steps)


def _forward(state: State, pointer_live: str, release: dict[str, str]) -> Plan:
    """Users are on what was never confirmed, because nothing else answered: the way is forward, into the other slot."""
    slot = other_slot(pointer_live)
    steps = (
        f"Stage release {release['id']} in slot {slot}; users stay on slot {pointer_live}, which was never confirmed.",
        *_gate_and_switch(slot),
        f"Move workers and scheduler to slot {slot}.",
    )
    return Plan("deploy", slot, release, pointer_live, None, False, _kept(state, slot), steps)


def resume(state: State, slot: str, release: dict[str, str]) -> Plan:
    """Returns the plan that goes on with *release*, which an earlier run switched to in *slot* and never confirmed."""
    live = state.live_record
    steps = (
        f"Go on with release {release['id']}, which has the traffic in slot {slot} already.",
        *_gate_and_switch(slot),
        f"Move workers and scheduler to slot {slot}.",
    )
    previous = live.release if live else None
    return Plan("deploy", slot, release, state.live, previous, False, _kept(state, slot), steps)


def _gate_and_switch(slot: str) -> tuple[str, str]:
    return (
        "Pass the gate on every instance of the staged release.",
        f"Switch all traffic to slot {slot} and verify through the load balancer.",
    )


def _kept(state: State, slot: str) -> str | None:
    record = state.slots[slot]
    return record.release["id"] if record else None


def _converge(operation: str, state: State, release: dict[str, str]) -> Plan:
    live = t.cast(str, state.live)
    steps = (f"Release {release['id']} is live in slot {live} already: check it, repair what drifted.",)
    return Plan(operation, live, release, live, release, True, release["id"], steps)


def _first_deploy(state: State, pointer_live: str | None, release: dict[str, str]) -> Plan:
    """Nothing was ever confirmed; an earlier first run that was cut off may have left a slot with traffic."""
    slot = other_slot(pointer_live) if pointer_live else state.idle
    users = (
        f"what an unfinished run left in slot {pointer_live}" if pointer_live else "nothing: this is the first rollout"
    )
    steps = (
        f"Stage release {release['id']} in slot {slot}; users stay on {users}.",
        *_gate_and_switch(slot),
        f"Start workers and scheduler in slot {slot}.",
    )
    return Plan("deploy", slot, release, pointer_live, None, False, _kept(state, slot), steps)


def _rolled_back(state: State) -> bool:
    """Whether the live release is live because of a roll back: another one would go forward to what was left."""
    confirmed = [entry for entry in state.history if entry["outcome"] == "confirmed"]
    return bool(confirmed) and confirmed[-1]["operation"] == "roll_back"


def roll_back(state: State, pointer_live: str | None, *, undone: bool = False) -> Plan:
    """Returns the plan that puts the traffic back on the release before the live one; no version to look up.

    When the traffic pointer is not where the state says (a run was cut off, a map was lost), going back means the
    recorded live slot. So it does when the last deploy died and is *undone* already: users are where they were before
    it, and nobody may have seen that. A second roll back in a row changes nothing, so that it is safe to run again.
    Raises BadInput when there is nothing to roll back to.
    """
    live = state.live_record
    if live is None:
        raise BadInput(
            f"{state.application} has no live release, so there is nothing to roll back.",
            next_step=f"deploy a version: {playbook('deploy')} -e rollout_version=VERSION",
        )
    if pointer_live != state.live:
        return _back_to(t.cast(str, state.live), live.release, pointer_live, None)
    if undone:
        stays = _converge("roll_back", state, live.release)
        says = (
            f"The last deploy was cut off, and users are where they were: {live.release['id']} in slot {state.live}.",
            "Nothing moves. If they shall leave that release as well, run roll_back again.",
        )
        return dataclasses.replace(stays, steps=(*says, *stays.steps))
    if _rolled_back(state):
        return _converge("roll_back", state, live.release)
    record = state.slots[state.idle]
    if record is None:
        raise BadInput(
            f"{state.application} cannot roll back: no earlier release is kept.",
            expected=f"a release in slot {state.idle}",
            found=f"only {live.release['id']} in slot {state.live}, the first one ever deployed",
            next_step=f"deploy a version that works: {playbook('deploy')} -e rollout_version=VERSION",
        )
    return _back_to(state.idle, record.release, state.live, live.release)


def retire(state: State, pointer_live: str | None) -> Plan:
    """Returns the plan that stops the idle slot. Raises BadInput when there is none, or nobody knows which it is."""
    live = state.live_record
    record = state.slots[state.idle]
    if live is None or record is None:
        raise BadInput(
            f"{state.application} has no idle slot to retire.",
            expected="a live release, and an earlier one that is kept warm",
            found=f"only {live.release['id']} in slot {state.live}" if live else "no live release",
        )
    _check_pointer(state, pointer_live)
    steps = (
        f"Stop release {record.release['id']} in slot {state.idle}; users stay on {live.release['id']}.",
        "A later roll_back starts it again first.",
    )
    return Plan("retire", state.idle, record.release, None, None, False, None, steps)


def _back_to(slot: str, release: dict[str, str], previous: str | None, left: dict[str, str] | None) -> Plan:
    steps = (
        f"Make sure that release {release['id']} answers in slot {slot}.",
        f"Switch all traffic to slot {slot} and verify through the load balancer.",
        f"Move workers and scheduler to slot {slot}.",
    )
    return Plan("roll_back", slot, release, previous, left, False, release["id"], steps)
