#!/usr/bin/python
# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module slot_handover."""

from __future__ import annotations

DOCUMENTATION = r"""
module: slot_handover
version_added: "0.1.0"
short_description: Move the work that is not traffic from one slot of this host to the other
description:
  - Stops the scheduler of O(from_slot) while the workers of O(to_slot) start. Then starts the scheduler of O(to_slot)
    while the workers of O(from_slot) finish their jobs and stop. On this host a scheduler never runs twice.
  - One call instead of four, because an operator who rolls back is in a hurry.
author:
  - The vitalops.rollout maintainers (@vitalops)
extends_documentation_fragment:
  - vitalops.rollout.attributes
options:
  application:
    description: Name of the application.
    type: str
    required: true
  from_slot:
    description: The slot whose workers and scheduler stop. None at a first rollout.
    type: str
    choices: [blue, green]
  to_slot:
    description: The slot whose workers and scheduler run afterwards.
    type: str
    choices: [blue, green]
    required: true
  release_id:
    description: The release that must be in O(to_slot).
    type: str
    required: true
  kinds:
    description: Kinds of processes that run in O(to_slot) afterwards; the scheduler on one host of the fleet only.
    type: list
    elements: str
    choices: [worker, scheduler]
    required: true
seealso:
  - module: vitalops.rollout.slot_processes
"""

EXAMPLES = r"""
- name: Workers and scheduler follow the traffic to green
  vitalops.rollout.slot_handover:
    application: shop
    from_slot: blue
    to_slot: green
    release_id: 1.1.0-3f9c21ab77d0
    kinds: [worker, scheduler]
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done.
  returned: success
  type: list
  elements: dict
  sample: [{"action": "stop", "target": "shop-blue-scheduler-1", "reason": "not wanted"}]
killed:
  description: Instances that did not end in their time and were killed.
  returned: success
  type: list
  elements: str
"""

import concurrent.futures
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vitalops.rollout.plugins.module_utils._module import run_module
from ansible_collections.vitalops.rollout.plugins.module_utils._slots import definition
from ansible_collections.vitalops.rollout.plugins.module_utils._slots.record import Paths
from ansible_collections.vitalops.rollout.plugins.module_utils._slots.slot import Outcome, Slot

Step = tuple[str, str, bool]


def phases(kinds: t.Collection[str], *, moves: bool) -> list[list[Step]]:
    """Returns what happens one after the other; the steps inside a phase happen at the same time. Pure.

    A step is the parameter that names the slot, a kind, and whether it runs afterwards.
    """
    first: list[Step] = [("to_slot", kind, True) for kind in kinds if kind == "worker"]
    second: list[Step] = [("to_slot", kind, True) for kind in kinds if kind == "scheduler"]
    if moves:
        first.insert(0, ("from_slot", "scheduler", False))
        second.append(("from_slot", "worker", False))
    return [first, second]


def hand_over(module: AnsibleModule) -> dict[str, t.Any]:
    """Does the phases in their order and adds up what they did."""
    wanted = module.params
    paths = Paths(definition.check_application(wanted["application"]))

    def do(step: Step) -> Outcome:
        place, kind, on = step
        slot = Slot(paths, wanted[place], check=module.check_mode)
        return slot.switch_processes([], kinds=[kind], on=on, release_id=wanted["release_id"] if on else None)

    outcomes: list[Outcome] = []
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        for phase in phases(wanted["kinds"], moves=bool(wanted["from_slot"])):
            outcomes.extend(pool.map(do, phase))
    return {
        "changed": any(outcome.changed for outcome in outcomes),
        "actions": [action for outcome in outcomes for action in outcome.actions],
        "killed": [name for outcome in outcomes for name in outcome.killed],
        "diff": [outcome.result()["diff"] for outcome in outcomes if outcome.changed],
    }


def main() -> None:
    """Entry point of the module."""
    run_module(
        {
            "application": {"type": "str", "required": True},
            "from_slot": {"type": "str", "choices": list(definition.SLOTS)},
            "to_slot": {"type": "str", "choices": list(definition.SLOTS), "required": True},
            "release_id": {"type": "str", "required": True},
            "kinds": {"type": "list", "elements": "str", "choices": ["worker", "scheduler"], "required": True},
        },
        hand_over,
    )


if __name__ == "__main__":
    main()
