#!/usr/bin/python
# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module slot_processes: start or stop processes of the release that is in a slot."""

from __future__ import annotations

DOCUMENTATION = r"""
module: slot_processes
version_added: "0.1.0"
short_description: Start or stop processes of the release in a slot
description:
  - Works from what is recorded on the host; needs no registry, no configuration and no secret.
  - To stop is TERM, then a wait of the stop timeout of the process, then KILL, which is reported.
  - What runs comes back after a reboot, and what was stopped does not.
author:
  - The vitalops.rollout maintainers (@vitalops)
extends_documentation_fragment:
  - vitalops.rollout.attributes
  - vitalops.rollout.run
options:
  application:
    description: Name of the application.
    type: str
    required: true
  slot:
    description: The slot.
    type: str
    required: true
    choices: [blue, green]
  state:
    description: Whether the processes run.
    type: str
    required: true
    choices: [started, stopped]
  processes:
    description:
      - Names of the processes. Others are left as they are.
      - To start one that the release does not have is an error; to stop one is not, for it does not run.
    type: list
    elements: str
    default: []
  kinds:
    description: Kinds of processes, all of which are meant, as the release in the slot has them.
    type: list
    elements: str
    choices: [web, worker, scheduler]
    default: []
  instead_of:
    description:
      - The other slot, whose workers and scheduler stop, when the work moves. Only with O(state=started).
      - The scheduler stops there before one starts here, so that on this host it never runs twice.
        Workers there finish their jobs and stop while those here start.
    type: str
    choices: [blue, green]
  release_id:
    description:
      - The release that must be in the slot.
      - When it is the previous release of the slot, it is taken back first.
      - When the slot does not hold it at all, the module fails.
    type: str
  masked:
    description:
      - Values that must never show in the result, such as the secrets of the application.
      - Ansible masks them wherever they occur, also in messages and log lines.
    type: list
    elements: str
    default: []
seealso:
  - module: vitalops.rollout.slot_release
  - module: vitalops.rollout.slot_info
"""

EXAMPLES = r"""
- name: Workers of the old slot have finished their jobs
  vitalops.rollout.slot_processes:
    application: shop
    slot: blue
    state: stopped
    processes: [worker, scheduler]

- name: Last good release runs again
  vitalops.rollout.slot_processes:
    application: shop
    slot: blue
    state: started
    kinds: [web]
    release_id: 1.0.0-0c1b2a3d4e5f

- name: Workers and scheduler follow the traffic to green
  vitalops.rollout.slot_processes:
    application: shop
    slot: green
    instead_of: blue
    state: started
    kinds: [worker, scheduler]
    release_id: 1.1.0-3f9c21ab77d0
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in this order. Empty when everything was so already.
  returned: success
  type: list
  elements: dict
  contains:
    action:
      description: One of fetch, write, record, stop, remove, create, start, discard.
      type: str
      returned: success
    target:
      description: The artefact, file or instance.
      type: str
      returned: success
    reason:
      description: Why.
      type: str
      returned: success
killed:
  description: Instances that did not stop within their stop timeout and were killed.
  returned: success
  type: list
  elements: str
other_slot_kinds:
  description: The kinds of processes that the release in the other slot of this host is recorded to run.
  returned: success
  type: list
  elements: str
  sample: [web, worker]
instances:
  description:
    - The web instances, of the processes and kinds that were asked for, of the release in the slot, as recorded.
    - Empty when the slot is empty, and in check mode when the release is not in the slot yet.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the instance.
      type: str
      returned: success
    process:
      description: Name of its process.
      type: str
      returned: success
    number:
      description: Number of the instance within its process, from 1.
      type: int
      returned: success
    address:
      description: Address of the host on which it takes connections; V(0.0.0.0) means all of them.
      type: str
      returned: success
    port:
      description: Host port on which it takes connections.
      type: int
      returned: success
  sample:
    - name: shop-blue-web-1
      process: web
      number: 1
      address: 192.0.2.11
      port: 18000
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import BadInput
from ansible_collections.vitalops.rollout.plugins.module_utils._module import journaled, run_module
from ansible_collections.vitalops.rollout.plugins.module_utils._slots import definition, handover, record
from ansible_collections.vitalops.rollout.plugins.module_utils._slots.record import Paths
from ansible_collections.vitalops.rollout.plugins.module_utils._slots.slot import Outcome, Slot


def change(module: AnsibleModule) -> dict[str, t.Any]:
    """Starts or stops the processes that were named."""
    wanted = module.params
    paths = Paths(definition.check_application(wanted["application"]))
    other = next(name for name in definition.SLOTS if name != wanted["slot"])
    step = "workers" if wanted["instead_of"] else "wake" if wanted["state"] == "started" else "stop"
    with journaled(module, step):
        outcomes = hand_over(module, paths) if wanted["instead_of"] else [switch(module, paths)]
    return {
        "changed": any(outcome.changed for outcome in outcomes),
        "actions": [action for outcome in outcomes for action in outcome.actions],
        "killed": [name for outcome in outcomes for name in outcome.killed],
        "diff": [outcome.result()["diff"] for outcome in outcomes],
        "instances": [instance for outcome in outcomes for instance in outcome.instances],
        "other_slot_kinds": record.read(paths, other).kinds_started,
    }


def switch(module: AnsibleModule, paths: Paths) -> Outcome:
    wanted = module.params
    return Slot(paths, wanted["slot"], check=module.check_mode).switch_processes(
        wanted["processes"],
        kinds=wanted["kinds"],
        on=wanted["state"] == "started",
        release_id=wanted["release_id"],
    )


def hand_over(module: AnsibleModule, paths: Paths) -> list[Outcome]:
    wanted = module.params
    if wanted["instead_of"] == wanted["slot"] or wanted["state"] != "started" or wanted["processes"]:
        raise BadInput(
            "Work can only move from the other slot of the host, all processes of a kind, to where they start.",
            expected="instead_of: the other slot, with state: started and kinds",
            found=f"instead_of {wanted['instead_of']}, slot {wanted['slot']}, state {wanted['state']}, "
            f"processes {', '.join(wanted['processes']) or 'none'}",
        )
    old, new = (Slot(paths, wanted[place], check=module.check_mode) for place in ("instead_of", "slot"))
    return handover.hand_over(old, new, wanted["kinds"], wanted["release_id"])


def main() -> None:
    """Entry point of the module."""
    run_module(
        {
            "application": {"type": "str", "required": True},
            "slot": {"type": "str", "required": True, "choices": list(definition.SLOTS)},
            "state": {"type": "str", "required": True, "choices": ["started", "stopped"]},
            "run": {"type": "dict"},
            "processes": {"type": "list", "elements": "str", "default": []},
            "kinds": {"type": "list", "elements": "str", "choices": list(definition.KINDS), "default": []},
            "instead_of": {"type": "str", "choices": list(definition.SLOTS)},
            "release_id": {"type": "str"},
            "masked": {"type": "list", "elements": "str", "default": [], "no_log": True},
        },
        change,
    )


if __name__ == "__main__":
    main()
