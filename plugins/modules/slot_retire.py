#!/usr/bin/python
# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module slot_retire."""

from __future__ import annotations

DOCUMENTATION = r"""
module: slot_retire
short_description: Stop a slot of this host when it has been kept warm for long enough
version_added: "0.1.0"
description:
  - Plans it; a timer of the host, which the role guard has installed, does it. The plan survives a boot, after which
    the whole time counts again, and any newer run on the host voids it.
  - With O(seconds=0), stops the slot now. The release stays on the host, so that a roll back can still start it.
author: The vitalops.rollout maintainers (@vitalops)
extends_documentation_fragment:
  - vitalops.rollout.attributes
options:
  application:
    description: Name of the application.
    type: str
    required: true
  slot:
    description: The slot that has no traffic.
    type: str
    required: true
    choices: [blue, green]
  seconds:
    description: How long it is kept warm from now on.
    type: float
    required: true
  run:
    description: The run, as M(vitalops.rollout.rollout_step) gave it.
    type: dict
    required: true
"""

EXAMPLES = r"""
---
- name: Blue stays warm for a day
  vitalops.rollout.slot_retire:
    application: shop
    slot: blue
    seconds: 86400
    run: "{{ rollout_run }}"
"""

RETURN = r"""
actions:
  description: What was stopped; empty when it was only planned.
  returned: success
  type: list
  elements: dict
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.clock import Clock
from ansible_collections.vitalops.rollout.plugins.module_utils._guard import retire as retiring
from ansible_collections.vitalops.rollout.plugins.module_utils._module import run_module
from ansible_collections.vitalops.rollout.plugins.module_utils._slots import definition
from ansible_collections.vitalops.rollout.plugins.module_utils._slots.record import Paths
from ansible_collections.vitalops.rollout.plugins.module_utils._slots.slot import Slot
from ansible_collections.vitalops.rollout.plugins.module_utils._state import lease
from ansible_collections.vitalops.rollout.plugins.module_utils._state import state as states
from ansible_collections.vitalops.rollout.plugins.module_utils._state.run import Run


def retire(module: AnsibleModule) -> dict[str, t.Any]:
    wanted, clock = module.params, Clock()
    application = definition.check_application(wanted["application"])
    folder = states.folder_of(application)
    run = Run.from_dict(wanted["run"])
    if module.check_mode:
        looking = Slot(Paths(application), wanted["slot"], check=True)
        return looking.switch_processes([], kinds=definition.KINDS, on=False).result() if not wanted["seconds"] else {}
    with retiring.change(folder):
        lease.fence(folder, run, clock)
        if wanted["seconds"] <= 0:
            return retiring.stop(application, run, wanted["slot"], clock).result()
        retiring.schedule(folder, run, wanted["slot"], wanted["seconds"], clock)
    return {"changed": False, "actions": []}


def main() -> None:
    run_module(
        {
            "application": {"type": "str", "required": True},
            "slot": {"type": "str", "choices": list(states.SLOTS), "required": True},
            "seconds": {"type": "float", "required": True},
            "run": {"type": "dict", "required": True},
        },
        retire,
    )


if __name__ == "__main__":
    main()
