# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a load-balancer host knows about an application: which release lives in which slot, and what was done.

PRIVATE to the collection. The file is /var/lib/rollout/<application>/state.json; beside it lies journal.ndjson.
"""

from __future__ import annotations

import os
import types
import typing as t

from .._foundation import durable
from .._foundation.errors import StateUnreadable
from . import fields

SCHEMA = 1
ROOT = "/var/lib/rollout"
SLOTS = ("blue", "green")
HISTORY_LENGTH = 20
HISTORY_KEYS = frozenset({"at", "operation", "release", "version", "slot", "by", "outcome"})


def folder_of(application: str, root: str = ROOT) -> str:
    """Returns the folder that holds everything a host knows about *application*."""
    return os.path.join(root, application)


def other_slot(slot: str) -> str:
    """Returns green for blue and blue for green."""
    return "green" if slot == "blue" else "blue"


class SlotRecord(t.NamedTuple):
    """The release in a slot: *release* has id, version, digest, artefact; *since* an ISO time in UTC; *by* a name.

    *epoch* is that of the run that confirmed it, 0 in a file that was written before epochs were kept.
    """

    release: dict[str, str]
    since: str
    by: str
    epoch: int = 0


NOTHING: t.Mapping[str, SlotRecord | None] = types.MappingProxyType(dict.fromkeys(SLOTS))


class State(t.NamedTuple):
    """The whole file. *live* is a slot or None; *last_good* the id of the last confirmed release or None.

    *history* holds the newest HISTORY_LENGTH operations, oldest first:
    at, operation, release (id), version, slot, by, outcome.
    """

    application: str
    environment: str
    live: str | None = None
    last_good: str | None = None
    slots: t.Mapping[str, SlotRecord | None] = NOTHING
    history: tuple[dict[str, str], ...] = ()

    @property
    def live_record(self) -> SlotRecord | None:
        """The release that users get, or None before the first rollout."""
        return self.slots[self.live] if self.live else None

    @property
    def idle(self) -> str:
        """The slot that takes no traffic; blue before the first rollout."""
        return other_slot(self.live) if self.live else "blue"

    @property
    def confirmed_at(self) -> str:
        """When the last release was confirmed: an ISO time in UTC. The slot tells when the history is too short."""
        times = [entry.get("at", "") for entry in self.history if entry.get("outcome") == "confirmed"]
        return times[-1] if times else self.live_record.since if self.live_record else ""

    @property
    def confirmed_epoch(self) -> int:
        """The epoch of the run that confirmed last, 0 when nobody knows: no clock has a say in who confirmed later."""
        return self.live_record.epoch if self.live_record else 0

    def to_dict(self) -> dict[str, t.Any]:
        """Returns the content of state.json."""
        slots = {slot: record._asdict() if record else None for slot, record in self.slots.items()}
        return {"schema": SCHEMA, **self._asdict(), "slots": slots, "history": [dict(entry) for entry in self.history]}


def from_dict(content: t.Mapping[str, t.Any], where: str) -> State:
    """Returns the state in *content*, the parsed file *where*. Raises StateUnreadable when a part is wrong."""
    try:
        slots: dict[str, SlotRecord | None] = {}
        for slot in SLOTS:
            record = content["slots"][slot]
            slots[slot] = None if record is None else _record(record)
        live = content["live"]
        if live is not None and slots[live] is None:
            raise ValueError(f"slot {live} is live but holds no release")
        for entry in content["history"]:
            if not isinstance(entry, dict) or HISTORY_KEYS - set(entry):
                raise ValueError(f"the history has {entry!r:.80}, not an operation")
        return State(
            application=fields.text(content, "application"),
            environment=fields.text(content, "environment"),
            live=live,
            last_good=content["last_good"],
            slots=slots,
            history=tuple(content["history"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise StateUnreadable(
            "The state of the application cannot be understood.",
            expected="application, environment, live, last_good, slots (blue, green) and history",
            found=f"{type(error).__name__}: {error}",
            where=where,
            next_step=f"look at it, then move it away: mv {where} {where}.damaged",
        ) from error


def _record(content: t.Mapping[str, t.Any]) -> SlotRecord:
    epoch = fields.whole(content, "epoch") if "epoch" in content else 0
    for key in ("id", "version"):
        fields.text(fields.mapping(content["release"], "release"), key)
    return SlotRecord(content["release"], fields.text(content, "since"), fields.text(content, "by"), epoch)


def load(application: str, root: str = ROOT) -> State | None:
    """Returns the state of *application* on this host, or None before its first rollout. Raises StateUnreadable."""
    path = os.path.join(folder_of(application, root), "state.json")
    content = durable.read_json(path, schema=SCHEMA)
    return None if content is None else from_dict(content, path)


def save(state: State, root: str = ROOT) -> bool:
    """Writes *state* durably. Returns whether the file changed."""
    folder = folder_of(state.application, root)
    durable.make_folder(folder)
    return durable.write_json(os.path.join(folder, "state.json"), state.to_dict())


def confirmed(
    state: State,
    *,
    operation: str,
    slot: str,
    release: dict[str, str],
    by: str,
    at: str,
    epoch: int = 0,
    approved_by: str = "",
) -> tuple[State, dict[str, str] | None]:
    """Returns the state after *release* in *slot* was found good, and its history entry (None: nothing is new).

    Pure. *operation* is deploy or roll_back, *at* an ISO time in UTC, *epoch* that of the run. *approved_by*: who did
    not wait for its gates. What a newer run confirms is new even where it was live before: this host knows of the
    newest decision, too.
    """
    record = state.slots[slot]
    known = record is not None and record.release == release and record.epoch >= epoch
    same = known and state.last_good == release["id"]
    if state.live == slot and same and _last_operation(state) in (operation, None):
        return state, None
    entry = {
        "at": at,
        "operation": operation,
        "release": release["id"],
        "version": release["version"],
        "slot": slot,
        "by": by,
        "outcome": "confirmed",
        **({"approved_by": approved_by} if approved_by else {}),
    }
    return (
        state._replace(
            live=slot,
            last_good=release["id"],
            slots={**state.slots, slot: SlotRecord(release, at, by, epoch)},
            history=(*state.history, entry)[-HISTORY_LENGTH:],
        ),
        entry,
    )


def _last_operation(state: State) -> str | None:
    """Returns how the live release came to be: a host that waited where the others go back to took part in that."""
    done = [entry["operation"] for entry in state.history if entry["outcome"] == "confirmed"]
    return done[-1] if done else None


def refused(
    state: State, *, operation: str, slot: str, release: dict[str, str], by: str, at: str, reason: str
) -> tuple[State, dict[str, str]]:
    """Returns the state after *release* was refused (slots and live stay), and its history entry. Pure."""
    entry = {
        "at": at,
        "operation": operation,
        "release": release["id"],
        "version": release["version"],
        "slot": slot,
        "by": by,
        "outcome": "refused",
        "reason": reason[:300],
    }
    return state._replace(history=(*state.history, entry)[-HISTORY_LENGTH:]), entry
