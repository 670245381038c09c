# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What watch.json and watched.json must be before anybody believes them. Pure. PRIVATE to the collection.

Every function raises ValueError with a sentence.
"""

from __future__ import annotations

import typing as t

from .._gates.decision import ACTIONS, GO, REVERT
from .._gates.specification import PHASES
from .._gates.verdict import SEVERITY
from .._state import fields
from .._state.run import parsed
from . import tally

STOPPED = "stopped"
ASKED = "id, run, environment, phase, gates, seconds, most, public_url, watches, connections, alone…"
SEEN = "id, phase, boottime, ended, says, approved and progress"

Content = t.Mapping[str, t.Any]


def check_asked(content: Content) -> None:
    """Checks what is to be watched. The gates themselves are checked by whoever watches."""
    parsed(content.get("run"))
    for key in ("id", "environment", "public_url"):
        fields.text(content, key)
    fields.choice(content, "phase", PHASES)
    for key in ("seconds", "most"):
        fields.seconds(content, key)
    fields.flag(content, "shared")
    fields.flag({"early": content.get("early") or False}, "early")  # the first versions did not have it
    fields.whole(content, "watches")
    for key in ("without_users", "approved"):
        fields.message(content, key)
    _each(content, "gates", lambda gate: fields.mapping(gate, "a gate"))
    for kind, connection in fields.mapping(content.get("connections"), "connections").items():
        fields.mapping(connection, f"the connection of {kind}")
    for key in ("before", "since"):
        if content.get(key) is not None:
            tally.parsed(content[key])
    tally.parsed_instances(content.get("instances"))
    _each({"masked": content.get("masked") or []}, "masked", _secret)
    if content.get("alone") is not None:
        alone = fields.mapping(content["alone"], "alone")
        fields.text(fields.mapping(alone.get("release"), "release"), "id")
        fields.mapping(alone.get("verify"), "verify")
        fields.seconds(alone, "lease_seconds")


def check_seen(content: Content) -> None:
    """Checks what a watch has told."""
    fields.text(content, "id")
    fields.choice(content, "phase", PHASES)
    fields.seconds(content, "boottime")
    fields.choice(content, "ended", (GO, REVERT, STOPPED, None))
    fields.message(content, "says")
    fields.message(content, "approved")
    if content.get("progress") is not None:
        progress = fields.mapping(content["progress"], "progress")
        fields.choice(progress, "action", ACTIONS)
        for key in ("elapsed", "seconds"):
            fields.seconds(progress, key)
        _each(progress, "reasons", _line)
        _each(progress, "gates", _check_gate)


def _check_gate(told: t.Any) -> None:
    gate = fields.mapping(told, "a gate")
    fields.text(gate, "name")
    fields.flag(gate, "enforce")
    fields.choice(gate, "verdict", SEVERITY)
    for key in ("words", "answers"):
        _each(gate, key, _line)


def _secret(told: t.Any) -> None:
    if not isinstance(told, str):
        raise ValueError(f"masked has {type(told).__name__}, not a text")


def _line(told: t.Any) -> None:
    if not isinstance(told, str):
        raise ValueError(f"{fields.shown(told)} is not a text")


def _each(content: Content, key: str, check: t.Callable[[t.Any], object]) -> None:
    found = content.get(key)
    if not isinstance(found, (list, tuple)):
        raise ValueError(f"{key} is {fields.shown(found)}, not a list")
    for one in found:
        check(one)
