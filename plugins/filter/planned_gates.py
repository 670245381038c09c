# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter planned_gates."""

from __future__ import annotations

import typing as t

from ansible_collections.vitalops.rollout.plugins.plugin_utils._gate_phases import checked, is_true

DOCUMENTATION = r"""
name: planned_gates
short_description: What a plan says about gates and shifts
version_added: "0.1.0"
description:
  - Says for each phase of an operation which gates look, and for how long; and in which shares users get the release.
author: The vitalops.rollout maintainers (@vitalops)
options:
  _input:
    description: C(rollout_gates), lists of gates by phase.
    type: dict
    required: true
  operation:
    description: V(deploy) or V(roll_back); any other one has no gates.
    type: str
    required: true
  shift:
    description: C(rollout_shift), the shares of the users in %.
    type: list
    elements: float
    default: [100]
  seconds:
    description: How long each phase looks, by its name.
    type: dict
    default: {}
  attended:
    description: Whether the run looks on while the release bakes.
    type: bool
    default: true
"""

EXAMPLES = r"""
---
- name: See which gates a deploy has to pass
  ansible.builtin.debug:
    msg: "{{ rollout_gates | vitalops.rollout.planned_gates('deploy', seconds={'bake': 600}) }}"
"""

RETURN = r"""
_value:
  description: Sentences, in the order of the phases; none for a phase that does not come.
  type: list
  elements: str
  sample: ["Bake for 600 s while the run looks on: users (traffic), cache (redis)."]
"""

NAME = "vitalops.rollout.planned_gates"
_PHASES = {"deploy": ("before_switch", "during_shift", "bake"), "roll_back": ("after_roll_back",)}


def planned_gates(
    gates: t.Mapping[str, t.Any],
    operation: str,
    shift: t.Sequence[float] = (100,),
    seconds: t.Mapping[str, t.Any] | None = None,
    attended: bool = True,
) -> list[str]:
    """Returns the sentences. Raises AnsibleFilterError for input of another shape."""
    told, lasts = checked(gates, NAME), {key: f"{value} s" for key, value in (seconds or {}).items()}
    begins = {
        "before_switch": "Before the switch pass",
        "during_shift": f"Give it to {_shares(shift)} of the users, each share for {lasts.get('during_shift', '0 s')}",
        "bake": f"Bake for {lasts.get('bake', '0 s')} {_who(attended)}",
        "after_roll_back": f"Watch it for {lasts.get('after_roll_back', '0 s')}",
    }
    phases = [phase for phase in _PHASES.get(operation, ()) if told.get(phase)]
    return [
        f"{begins[phase]}: {', '.join(map(_named, told[phase]))}."
        for phase in phases
        if phase != "during_shift" or len(shift) > 1
    ]


def _shares(shift: t.Sequence[float]) -> str:
    shown = [f"{share} %" for share in shift]
    return f"{', '.join(shown[:-1])} and {shown[-1]}" if len(shown) > 1 else "all"


def _who(attended: bool) -> str:
    if attended:
        return "while the run looks on"
    return "without this run; the load balancers confirm it, or take it back, and work follows within a minute"


def _named(gate: t.Mapping[str, t.Any]) -> str:
    measured = "" if is_true(gate, "enforce") else ", not enforced"
    return f"{gate.get('name')} ({gate.get('type')}{measured})"


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Returns the filter by its name."""
        return {"planned_gates": planned_gates}
